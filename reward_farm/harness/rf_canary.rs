//! Tries what the sandbox must refuse, and exits with 0 if all was refused, else with the place of the first attack that
//! got through. Harmless: it reads, asks and counts, and writes only where it is told. Trusted; linked statically.
//!
//!     rf_canary ATTACK ARGUMENT [ATTACK ARGUMENT]...

use std::ffi::{c_char, c_int, c_long, c_uint, c_ulong, c_void, CString};
use std::io::{Error, Read, Write};
use std::os::fd::FromRawFd;

extern "C" {
    fn syscall(number: c_long, ...) -> c_long;
    fn socket(domain: c_int, kind: c_int, protocol: c_int) -> c_int;
    fn connect(fd: c_int, address: *const c_void, length: c_uint) -> c_int;
    fn kill(pid: c_int, signal: c_int) -> c_int;
    fn shmget(key: c_int, size: usize, flags: c_int) -> c_int;
    fn unshare(flags: c_int) -> c_int;
    fn sethostname(name: *const c_char, length: usize) -> c_int;
    fn gethostname(name: *mut c_char, length: usize) -> c_int;
    fn prctl(option: c_int, ...) -> c_int;
    fn signal(number: c_int, action: usize) -> usize;
    fn geteuid() -> c_uint;
    fn getuid() -> c_uint;
    fn fork() -> c_int;
    fn setsid() -> c_int;
    fn sleep(seconds: c_uint) -> c_uint;
    fn _exit(code: c_int) -> !;
}

#[cfg(target_arch = "x86_64")]
const KEYCTL: c_long = 250;
#[cfg(target_arch = "aarch64")]
const KEYCTL: c_long = 219;
const KEYCTL_SEARCH: c_int = 10;
const SESSION_KEYRING: c_int = -3;
const CLONE_NEWUSER: c_int = 0x1000_0000;
const CLONE_NEWNS: c_int = 0x0002_0000;
const PR_GET_NO_NEW_PRIVS: c_int = 39;
const AF_UNIX: c_int = 1;
const AF_INET: c_int = 2;
const SOCK_STREAM: c_int = 1;
const SIGXFSZ: c_int = 25;
const SIG_IGN: usize = 1;
const EPERM: i32 = 1;
const MEGABYTE: usize = 1 << 20;

type Tried = Result<(), Error>;

fn check(result: c_long) -> Result<c_int, Error> {
    if result < 0 { Err(Error::last_os_error()) } else { Ok(result as c_int) }
}

fn refused_if(refused: bool) -> Tried {
    if refused { Err(Error::from_raw_os_error(EPERM)) } else { Ok(()) }
}

fn number(word: &str) -> usize { word.parse().expect("a number") }

fn join(domain: c_int, address: &[u8]) -> Tried {
    unsafe {
        let fd = check(socket(domain, SOCK_STREAM, 0).into())?;
        check(connect(fd, address.as_ptr().cast(), address.len() as c_uint).into()).map(drop)
    }
}

fn tcp(port: &str) -> Tried {
    let port = (number(port) as u16).to_be_bytes();
    let mut address = [0; 16];
    address[..8].copy_from_slice(&[AF_INET as u8, 0, port[0], port[1], 127, 0, 0, 1]);
    join(AF_INET, &address)
}

fn abstract_socket(name: &str) -> Tried { join(AF_UNIX, &[&[AF_UNIX as u8, 0, 0], name.as_bytes()].concat()) }

fn key(name: &str) -> Tried {
    let (kind, name) = (c"user", CString::new(name)?);
    check(unsafe { syscall(KEYCTL, KEYCTL_SEARCH, SESSION_KEYRING, kind.as_ptr(), name.as_ptr(), 0 as c_ulong) }).map(drop)
}

/// The host's name set to what it is: needs a capability, changes nothing.
fn host_name() -> Tried {
    let mut name = [0; 65];
    unsafe {
        check(gethostname(name.as_mut_ptr(), name.len()).into())?;
        let length = name.iter().position(|&byte| byte == 0).unwrap_or(name.len());
        check(sethostname(name.as_ptr(), length).into()).map(drop)
    }
}

/// That many megabytes, touched.
fn memory(megabytes: &str) -> Tried {
    let mut held: Vec<u8> = Vec::new();
    held.try_reserve_exact(number(megabytes) * MEGABYTE).map_err(|_| Error::from_raw_os_error(12))?;
    held.resize(number(megabytes) * MEGABYTE, 1);
    std::hint::black_box(&held);
    Ok(())
}

/// That many children at once; they wait until this process has ended.
fn processes(count: &str) -> Tried {
    let (mut waiting, held) = std::io::pipe()?;
    for _ in 0..number(count) {
        if check(unsafe { fork() }.into())? == 0 {
            drop(held);
            let _ = waiting.read(&mut [0]);
            unsafe { _exit(0) }
        }
    }
    Ok(())
}

/// A grandchild that leaves session and group. It got through if it still holds stderr when everyone should have ended.
fn linger() -> Tried {
    unsafe {
        if check(fork().into())? == 0 {
            setsid();
            if fork() == 0 { sleep(60); }
            _exit(0)
        }
    }
    refused_if(true)
}

/// A copy of this program that belongs to somebody else and would run with that one's rights.
fn set_user(program: &str) -> Tried {
    let ended = std::process::Command::new(program).args(["rights", "-"]).status()?;
    refused_if(ended.code() == Some(0))
}

fn attempt(attack: &str, argument: &str) -> Tried {
    match attack {
        "nothing" => Ok(()),
        "read" => std::fs::File::open(argument)?.read(&mut [0]).map(drop),
        "list" => std::fs::read_dir(argument).map(drop),
        "write" => std::fs::write(argument, "canary"),
        "grow" => std::fs::write(argument, vec![1; MEGABYTE]),
        "run" => std::process::Command::new(argument).status().map(drop),
        "tcp" => tcp(argument),
        "abstract" => abstract_socket(argument),
        "signal" => check(unsafe { kill(number(argument) as c_int, 0) }.into()).map(drop),
        "shared" => check(unsafe { shmget(number(argument) as c_int, 0, 0) }.into()).map(drop),
        "key" => key(argument),
        "user-namespace" => check(unsafe { unshare(CLONE_NEWUSER) }.into()).map(drop),
        "mount-namespace" => check(unsafe { unshare(CLONE_NEWNS) }.into()).map(drop),
        "host-name" => host_name(),
        "set-user" => set_user(argument),
        "rights" => refused_if(unsafe { geteuid() == getuid() }),
        "new-privileges" => refused_if(unsafe { prctl(PR_GET_NO_NEW_PRIVS, 0 as c_ulong, 0, 0, 0) } != 0),
        "environment" => refused_if(std::env::vars().all(|(name, _)| name == "LD_LIBRARY_PATH" || name == "PWD")),
        "descriptor" => unsafe { std::fs::File::from_raw_fd(number(argument) as c_int) }.write_all(b"!"),
        "memory" => memory(argument),
        "processes" => processes(argument),
        "linger" => linger(),
        other => panic!("no such attack: {other}"),
    }
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    unsafe { signal(SIGXFSZ, SIG_IGN) };
    let through = words.chunks(2).position(|words| attempt(&words[0], &words[1]).is_ok());
    unsafe { _exit(through.map_or(0, |place| place as c_int + 1)) }
}
