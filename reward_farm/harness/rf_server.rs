//! Runs the tests of one linked batch, named by its argument, inside its jail. Trusted.
//!
//!   parent (Python) --jobs, fd 0--> server --fork--> child: limits, seccomp, candidate --frame, fd 3--> parent
//!                   <-status, fd 1- server <--wait--'
//!
//! One job is read at a time, so that no child's memory holds a later job's nonce or arguments. A child's answer goes
//! straight to the parent and never passes through this process, whose memory every later child inherits. Expected values
//! never come here at all.

use std::ffi::{c_char, c_int, c_long, c_ulong, c_void, CStr, CString};
use std::io::{Read, Write};
use std::os::fd::FromRawFd;

const JOBS: c_int = 0;
const STATUS: c_int = 1;
const NULL: c_int = 2;
const FRAMES: c_int = 3;
const PANICKED: c_int = 101;
/// First byte of what a child sends.
const CONFINED: u8 = b'c';

/// `index` of the candidate, its encoded arguments, and where its encoded answer goes.
type Dispatch = fn(u32, &[u8], &mut Vec<u8>);

#[repr(C)]
struct Limit { soft: u64, hard: u64 }
#[repr(C)]
struct Time { seconds: c_long, fraction: c_long }
#[repr(C)]
struct Timer { interval: Time, value: Time }
#[repr(C)]
struct Usage { user: Time, system: Time, rest: [c_long; 14] }
#[repr(C)]
struct Filter { length: u16, code: *const u8 }
type SignalSet = [c_ulong; 16];

extern "C" {
    fn fork() -> c_int;
    fn _exit(code: c_int) -> !;
    fn dup2(from: c_int, to: c_int) -> c_int;
    fn kill(pid: c_int, signal: c_int) -> c_int;
    fn wait4(pid: c_int, status: *mut c_int, options: c_int, usage: *mut Usage) -> c_int;
    fn prctl(option: c_int, ...) -> c_int;
    fn setrlimit(resource: c_int, limit: *const Limit) -> c_int;
    fn setitimer(which: c_int, new: *const Timer, old: *mut Timer) -> c_int;
    fn sigprocmask(how: c_int, set: *const SignalSet, old: *mut SignalSet) -> c_int;
    fn sigtimedwait(set: *const SignalSet, info: *mut c_void, timeout: *const Time) -> c_int;
    fn dlopen(path: *const c_char, flags: c_int) -> *mut c_void;
    fn dlsym(library: *mut c_void, symbol: *const c_char) -> *mut c_void;
    fn dlerror() -> *const c_char;
}

const SIGKILL: c_int = 9;
const SIGCHLD: c_int = 17;
const WNOHANG: c_int = 1;
const ITIMER_PROF: c_int = 2;
const RLIMIT_CPU: c_int = 0;
const RLIMIT_FSIZE: c_int = 1;
const RLIMIT_CORE: c_int = 4;
const RLIMIT_NOFILE: c_int = 7;
const RLIMIT_AS: c_int = 9;
const RTLD_NOW: c_int = 2;
const PR_SET_NO_NEW_PRIVS: c_int = 38;
const PR_SET_SECCOMP: c_int = 22;
const SECCOMP_MODE_FILTER: c_ulong = 2;
const PR_SET_DUMPABLE: c_int = 4;

struct Limits { cpu_micros: u64, wall_millis: u64, memory: u64, filter: Vec<u8> }

fn bytes<const N: usize>(from: &mut impl Read) -> Option<[u8; N]> {
    let mut buffer = [0; N];
    from.read_exact(&mut buffer).ok().map(|()| buffer)
}

fn number(from: &mut impl Read) -> Option<u64> { bytes(from).map(u64::from_le_bytes) }

fn block(from: &mut impl Read) -> Option<Vec<u8>> {
    let mut buffer = vec![0; number(from)? as usize];
    from.read_exact(&mut buffer).ok().map(|()| buffer)
}

fn load(library: &str) -> Result<Dispatch, String> {
    let path = CString::new(library).map_err(|error| error.to_string())?;
    unsafe {
        let library = dlopen(path.as_ptr(), RTLD_NOW);
        let symbol = if library.is_null() { library } else { dlsym(library, c"rf_dispatch".as_ptr()) };
        if symbol.is_null() { return Err(CStr::from_ptr(dlerror()).to_string_lossy().into_owned()) }
        Ok(std::mem::transmute::<*mut c_void, Dispatch>(symbol))
    }
}

/// Everything that a candidate must not have is gone when this returns. A step that fails ends the child.
unsafe fn confine(limits: &Limits) {
    dup2(NULL, JOBS);
    dup2(NULL, STATUS);
    let seconds = limits.cpu_micros / 1_000_000 + 1;
    let mut failed = 0;
    for (resource, soft, hard) in [
        (RLIMIT_CPU, seconds, seconds + 1), (RLIMIT_AS, limits.memory, limits.memory),
        (RLIMIT_FSIZE, 0, 0), (RLIMIT_CORE, 0, 0), (RLIMIT_NOFILE, 4, 4),
    ] {
        failed |= setrlimit(resource, &Limit { soft, hard });
    }
    // CPU time, not wall time: a loaded machine must not fail an honest answer.
    let budget = Time { seconds: (limits.cpu_micros / 1_000_000) as c_long, fraction: (limits.cpu_micros % 1_000_000) as c_long };
    failed |= setitimer(ITIMER_PROF, &Timer { interval: Time { seconds: 0, fraction: 0 }, value: budget }, std::ptr::null_mut());
    let filter = Filter { length: (limits.filter.len() / 8) as u16, code: limits.filter.as_ptr() };
    failed |= prctl(PR_SET_NO_NEW_PRIVS, 1 as c_ulong, 0 as c_ulong, 0 as c_ulong, 0 as c_ulong);
    failed |= prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter as *const Filter, 0 as c_ulong, 0 as c_ulong);
    if failed != 0 { _exit(120) }
}

fn call(dispatch: Dispatch, index: u32, nonce: [u8; 16], input: &[u8], limits: &Limits) -> ! {
    let mut frames = std::mem::ManuallyDrop::new(unsafe { std::fs::File::from_raw_fd(FRAMES) });
    unsafe { confine(limits) }
    // Said before the candidate runs, so that no exit code of its own can look like ours.
    if frames.write_all(&[CONFINED]).is_err() { unsafe { _exit(121) } }
    let answer = std::panic::catch_unwind(|| {
        let mut out = Vec::with_capacity(256);
        out.extend_from_slice(&nonce);
        out.extend_from_slice(&[0; 4]);
        dispatch(index, input, &mut out);
        let length = (out.len() - 20) as u32;
        out[16..20].copy_from_slice(&length.to_le_bytes());
        out
    });
    let code = match answer {
        Ok(frame) => if frames.write_all(&frame).is_ok() { 0 } else { 121 },
        Err(payload) => { std::mem::forget(payload); PANICKED } // its Drop is the candidate's code
    };
    unsafe { _exit(code) }
}

/// Wait status, whether the wall clock ended it, and CPU microseconds.
fn reap(child: c_int, wall_millis: u64, signals: &SignalSet) -> (c_int, bool, u64) {
    let mut status = 0;
    let mut usage = Usage { user: Time { seconds: 0, fraction: 0 }, system: Time { seconds: 0, fraction: 0 }, rest: [0; 14] };
    let patience = Time { seconds: (wall_millis / 1000) as c_long, fraction: (wall_millis % 1000 * 1_000_000) as c_long };
    let mut late = false;
    unsafe {
        sigtimedwait(signals, std::ptr::null_mut(), &patience);
        if wait4(child, &mut status, WNOHANG, &mut usage) == 0 {
            late = true;
            kill(child, SIGKILL);
            wait4(child, &mut status, 0, &mut usage);
            let now = Time { seconds: 0, fraction: 0 };
            sigtimedwait(signals, std::ptr::null_mut(), &now); // takes the signal of the child just reaped
        }
    }
    let micros = |time: &Time| time.seconds as u64 * 1_000_000 + time.fraction as u64;
    (status, late, micros(&usage.user) + micros(&usage.system))
}

fn serve(library: &str) -> Option<()> {
    let mut jobs = unsafe { std::fs::File::from_raw_fd(JOBS) };
    let mut status = unsafe { std::fs::File::from_raw_fd(STATUS) };
    let limits = Limits {
        cpu_micros: number(&mut jobs)?, wall_millis: number(&mut jobs)?, memory: number(&mut jobs)?, filter: block(&mut jobs)?,
    };
    let loaded = load(library);
    let message = loaded.as_ref().err().cloned().unwrap_or_default();
    status.write_all(&(message.len() as u64).to_le_bytes()).ok()?;
    status.write_all(message.as_bytes()).ok()?;
    let dispatch = loaded.ok()?;
    let mut signals: SignalSet = [0; 16];
    signals[0] = 1 << (SIGCHLD - 1);
    unsafe { sigprocmask(0, &signals, std::ptr::null_mut()) };
    loop {
        let index = number(&mut jobs)? as u32;
        let nonce = bytes::<16>(&mut jobs)?;
        let input = block(&mut jobs)?;
        let child = unsafe { fork() };
        if child == 0 { call(dispatch, index, nonce, &input, &limits) }
        let (code, late, micros) = if child > 0 { reap(child, limits.wall_millis, &signals) } else { (-1, false, 0) };
        let mut report = [0; 16];
        report[..4].copy_from_slice(&code.to_le_bytes());
        report[4] = late as u8;
        report[8..].copy_from_slice(&micros.to_le_bytes());
        status.write_all(&report).ok()?;
    }
}

fn main() {
    std::panic::set_hook(Box::new(|_| {})); // a backtrace costs more than most tests
    unsafe {
        prctl(PR_SET_DUMPABLE, 0 as c_ulong, 0 as c_ulong, 0 as c_ulong, 0 as c_ulong);
    }
    serve(&std::env::args().nth(1).unwrap_or_default());
}
