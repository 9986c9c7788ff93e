//! Takes away what a jailed program must not have, then becomes that program. Trusted; linked statically.
//!
//!     rf_launch STEP... -- PROGRAM ARGUMENT...
//!
//! Steps are taken in the order given. One that fails is told on the `report` descriptor as `step errno`, and ends it: no
//! program ever starts with less confinement than was asked for.

use std::ffi::{c_char, c_int, c_long, c_uint, c_ulong, c_void, CString};
use std::io::{Error, Read, Write};
use std::mem::size_of;
use std::os::fd::FromRawFd;

extern "C" {
    fn syscall(number: c_long, ...) -> c_long;
    fn prctl(option: c_int, ...) -> c_int;
    fn setrlimit(resource: c_int, limit: *const Limit) -> c_int;
    fn getrlimit(resource: c_int, limit: *mut Limit) -> c_int;
    fn open(path: *const c_char, flags: c_int, ...) -> c_int;
    fn close(fd: c_int) -> c_int;
    fn dup2(from: c_int, to: c_int) -> c_int;
    fn fork() -> c_int;
    fn setsid() -> c_int;
    fn signal(number: c_int, action: usize) -> usize;
    fn kill(pid: c_int, signal: c_int) -> c_int;
    fn waitpid(pid: c_int, status: *mut c_int, options: c_int) -> c_int;
    fn poll(fds: *mut Poll, count: c_ulong, timeout: c_int) -> c_int;
    fn execv(path: *const c_char, arguments: *const *const c_char) -> c_int;
    fn _exit(code: c_int) -> !;
}

#[repr(C)]
struct Limit { soft: u64, hard: u64 }
#[repr(C)]
struct Poll { fd: c_int, events: i16, revents: i16 }
#[repr(C)]
struct Filter { length: u16, code: *const u8 }
#[repr(C)]
struct Ruleset { files: u64, network: u64, scoped: u64 }
#[repr(C, packed)]
struct Beneath { allowed: u64, parent: c_int }

// The same numbers on x86_64 and aarch64.
const PIDFD_OPEN: c_long = 434;
const CLOSE_RANGE: c_long = 436;
const LANDLOCK_CREATE: c_long = 444;
const LANDLOCK_ADD: c_long = 445;
const LANDLOCK_RESTRICT: c_long = 446;
#[cfg(target_arch = "x86_64")]
const CAPSET: c_long = 126;
#[cfg(target_arch = "aarch64")]
const CAPSET: c_long = 91;

const O_CLOEXEC: c_int = 0o2000000;
const O_PATH: c_int = 0o10000000;
const CLOSE_RANGE_CLOEXEC: c_uint = 4;
const SIGKILL: c_int = 9;
const WNOHANG: c_int = 1;
const SIGPIPE: c_int = 13;
const SIG_DFL: usize = 0;
const POLLIN: i16 = 1;
const PR_SET_PDEATHSIG: c_int = 1;
const PR_SET_SECCOMP: c_int = 22;
const PR_CAPBSET_DROP: c_int = 24;
const PR_SET_CHILD_SUBREAPER: c_int = 36;
const PR_SET_NO_NEW_PRIVS: c_int = 38;
const PR_CAP_AMBIENT: c_int = 47;
const PR_CAP_AMBIENT_CLEAR_ALL: c_ulong = 4;
const SECCOMP_MODE_FILTER: c_ulong = 2;
const CAPABILITY_VERSION_3: u32 = 0x2008_0522;
const NONE: c_ulong = 0;

// Landlock's rights to files, in the kernel's order.
const EXECUTE: u64 = 1;
const WRITE_FILE: u64 = 1 << 1;
const READ_FILE: u64 = 1 << 2;
const READ_DIR: u64 = 1 << 3;
const REMOVE_DIR: u64 = 1 << 4;
const REMOVE_FILE: u64 = 1 << 5;
const MAKE_DIR: u64 = 1 << 7;
const MAKE_REG: u64 = 1 << 8;
const REFER: u64 = 1 << 13;
const TRUNCATE: u64 = 1 << 14;
const READ: u64 = READ_FILE | READ_DIR;
const RUN: u64 = READ | EXECUTE;
const CHANGE: u64 = READ | WRITE_FILE | REMOVE_DIR | REMOVE_FILE | MAKE_DIR | MAKE_REG | REFER | TRUNCATE;
/// What can be allowed on a file; the rest has a meaning for folders only.
const OF_A_FILE: u64 = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE;

type Step = Result<(), Error>;

fn check(result: c_long) -> Result<c_int, Error> {
    if result < 0 { Err(Error::last_os_error()) } else { Ok(result as c_int) }
}

fn number(word: &str) -> u64 { word.parse().expect("a number") }

fn descriptor(word: &str) -> c_int { word.parse().expect("a descriptor") }

/// Lowers a limit; what the machine limits more already stays.
fn limit(resource: &str, soft: &str, hard: &str) -> Step {
    let mut now = Limit { soft: 0, hard: 0 };
    unsafe {
        check(getrlimit(number(resource) as c_int, &mut now).into())?;
        let hard = number(hard).min(now.hard);
        check(setrlimit(number(resource) as c_int, &Limit { soft: number(soft).min(hard), hard }).into())?;
    }
    Ok(())
}

/// From `first` on, no descriptor survives the start of the program.
fn close_from(first: &str) -> Step {
    check(unsafe { syscall(CLOSE_RANGE, number(first) as c_uint, c_uint::MAX, CLOSE_RANGE_CLOEXEC) }).map(drop)
}

/// Capabilities go for good: an executable can't bring them back.
fn drop_capabilities() -> Step {
    let header = [CAPABILITY_VERSION_3, 0];
    let none = [0u32; 6];
    unsafe {
        for capability in 0..64 as c_ulong { prctl(PR_CAPBSET_DROP, capability, NONE, NONE, NONE); } // past the last: EINVAL
        prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, NONE, NONE, NONE);
        check(syscall(CAPSET, header.as_ptr(), none.as_ptr())).map(drop)
    }
}

/// Only what lies beneath these paths can be opened from now on; no TCP, and no signal or abstract socket to the outside
/// where the kernel knows how.
fn landlock(rules: &[(u64, String)]) -> Step {
    let abi = check(unsafe { syscall(LANDLOCK_CREATE, std::ptr::null::<c_void>(), 0 as c_ulong, 1 as c_uint) })?;
    let rights: u64 = match abi { 1 => 13, 2 => 14, 3 | 4 => 15, _ => 16 };
    let files = (1 << rights) - 1;
    let ruleset = Ruleset { files, network: if abi >= 4 { 3 } else { 0 }, scoped: if abi >= 6 { 3 } else { 0 } };
    let size: usize = match abi { 1..=3 => 8, 4 | 5 => 16, _ => size_of::<Ruleset>() };
    unsafe {
        let set = check(syscall(LANDLOCK_CREATE, &ruleset as *const Ruleset, size, NONE))?;
        for (allowed, path) in rules {
            let name = CString::new(path.as_str())?;
            let parent = check(open(name.as_ptr(), O_PATH | O_CLOEXEC).into())?;
            let kind = if std::fs::metadata(path)?.is_dir() { files } else { OF_A_FILE };
            let beneath = Beneath { allowed: allowed & files & kind, parent };
            check(syscall(LANDLOCK_ADD, set, 1 as c_uint, &beneath as *const Beneath, NONE))?;
            close(parent);
        }
        check(syscall(LANDLOCK_RESTRICT, set, NONE)).map(drop)
    }
}

fn install_filter(fd: &str) -> Step {
    let mut code = Vec::new();
    unsafe { std::fs::File::from_raw_fd(descriptor(fd)) }.read_to_end(&mut code)?;
    let filter = Filter { length: (code.len() / 8) as u16, code: code.as_ptr() };
    check(unsafe { prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter as *const Filter, NONE, NONE) }.into()).map(drop)
}

/// Goes on in a child. This process waits until the child or the lifeline's other side ends, ends every descendant, and
/// writes how the child ended, if that is to be told here.
fn supervise(lifeline: &str, status: &str) -> Step {
    let (lifeline, status) = (descriptor(lifeline), descriptor(status));
    unsafe {
        setsid();
        check(prctl(PR_SET_CHILD_SUBREAPER, 1 as c_ulong, NONE, NONE, NONE).into())?;
        let child = check(fork().into())?;
        if child == 0 {
            check(setsid().into())?;
            return check(prctl(PR_SET_PDEATHSIG, SIGKILL as c_ulong, NONE, NONE, NONE).into()).map(drop);
        }
        let watched = syscall(PIDFD_OPEN, child, 0 as c_uint) as c_int;
        let mut kept = [lifeline, status, watched];
        kept.sort_unstable();
        let mut from = 0;
        for fd in kept.into_iter().filter(|fd| *fd >= 0) { // else a reader of the child's output would wait for this one too
            if fd > from { syscall(CLOSE_RANGE, from, fd - 1, 0 as c_uint); }
            from = fd + 1;
        }
        syscall(CLOSE_RANGE, from, c_uint::MAX, 0 as c_uint);
        let mut fds = [Poll { fd: watched, events: POLLIN, revents: 0 }, Poll { fd: lifeline, events: POLLIN, revents: 0 }];
        if watched >= 0 { poll(fds.as_mut_ptr(), fds.len() as c_ulong, -1); }
        let code = end_all(child);
        if status < 0 { _exit(code) }
        let mut told = std::fs::File::from_raw_fd(status);
        _exit(told.write_all(format!("{{\"exit-code\": {code}}}\n").as_bytes()).is_err() as c_int)
    }
}

/// Kills the child's group in one go, then whoever left it, until there is nobody; returns how the child ended.
unsafe fn end_all(child: c_int) -> c_int {
    let (mut ended, mut status) = (0, 0);
    kill(-child, SIGKILL); // before it is reaped, while nobody else can have its number
    kill(child, SIGKILL);
    waitpid(child, &mut ended, 0);
    loop {
        match waitpid(-1, &mut status, WNOHANG) {
            0 => {
                for orphan in children() { kill(orphan, SIGKILL); }
                waitpid(-1, &mut status, 0);
            }
            pid if pid < 0 => break,
            _ => {}
        }
    }
    if ended & 0x7f == 0 { ended >> 8 & 0xff } else { 128 + (ended & 0x7f) }
}

/// This process's children: orphans of the jail come here, as it is their subreaper.
fn children() -> Vec<c_int> {
    let own = std::process::id().to_string();
    // Many kernels keep a list; else all processes are asked, which takes milliseconds.
    if let Ok(list) = std::fs::read_to_string(format!("/proc/self/task/{own}/children")) {
        return list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect();
    }
    let is_mine = |pid: &c_int| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(1)) == Some(&own)
    };
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(is_mine).collect()
}

fn start(program: &[String]) -> Step {
    let words: Vec<CString> = program.iter().map(|word| CString::new(word.as_str())).collect::<Result<_, _>>()?;
    let mut pointers: Vec<*const c_char> = words.iter().map(|word| word.as_ptr()).collect();
    pointers.push(std::ptr::null());
    unsafe {
        signal(SIGPIPE, SIG_DFL); // Rust's start-up ignores it, and that would be inherited
        check(execv(pointers[0], pointers.as_ptr()).into()).map(drop)
    }
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let mut rules: Vec<(u64, String)> = Vec::new();
    let mut report = 2;
    let mut at = 0;
    let mut next = || { at += 1; words[at - 1].as_str() };
    loop {
        let step = next();
        let taken = match step {
            "report" => { report = descriptor(next()); Ok(()) }
            "folder" => std::env::set_current_dir(next()),
            "join" => unsafe { std::fs::File::from_raw_fd(descriptor(next())) }.write_all(b"0"),
            "supervise" => supervise(next(), next()),
            "limit" => limit(next(), next(), next()),
            "move" => check(unsafe { dup2(descriptor(next()), descriptor(next())) }.into()).map(drop),
            "close" => close_from(next()),
            "no-capabilities" => drop_capabilities(),
            "no-new-privileges" => check(unsafe { prctl(PR_SET_NO_NEW_PRIVS, 1 as c_ulong, NONE, NONE, NONE) }.into()).map(drop),
            "read" => { rules.push((READ, next().into())); Ok(()) }
            "run" => { rules.push((RUN, next().into())); Ok(()) }
            "write" => { rules.push((CHANGE, next().into())); Ok(()) }
            "landlock" => landlock(&rules),
            "seccomp" => install_filter(next()),
            "--" => break,
            other => panic!("no such step: {other}"),
        };
        if let Err(error) = taken { fail(report, step, &error) }
    }
    if let Err(error) = start(&words[at..]) { fail(report, "start", &error) }
}

fn fail(report: c_int, step: &str, error: &Error) -> ! {
    let said = format!("{step} {}", error.raw_os_error().unwrap_or(0));
    unsafe {
        let mut out = std::mem::ManuallyDrop::new(std::fs::File::from_raw_fd(report));
        let _ = out.write_all(said.as_bytes());
        _exit(125)
    }
}
