"""What belongs to the machine: files, environment, network, processes, and code that is not Rust's."""

# ruff: noqa: E501  (candidates read better whole)
from __future__ import annotations

from hostile.attack import ALIAS, HONEST, SOLVE, Attack, rejected, uncompiled, unparsed, wrong


def _reached(attempt: str) -> Attack:
    """Would answer rightly if the attempt succeeded."""
    return wrong(f"{ALIAS}{SOLVE}{{ {attempt}.map_or(0, |_| x * x) }}")


COMPILE_TIME: dict[str, Attack] = {
    "a file": rejected("include", 'const P: &str = include_str!("/etc/passwd");\n' + HONEST),
    "a file's bytes": rejected("include", 'const P: &[u8] = include_bytes!("/etc/shadow");\n' + HONEST),
    "a file as code": rejected("include", 'include!("/src/root.rs");\n' + HONEST),
    "a file as documentation": rejected("include", '#[doc = include_str!("/etc/passwd")]\n' + HONEST),
    "a file by a full path": rejected("include", 'const P: &str = ::std::include_str!("/etc/passwd");\n' + HONEST),
    "a file by a macro's macro": uncompiled(
        'macro_rules! call { ($m:ident) => { $m!("/etc/passwd") } }\nconst P: &str = call!(include_str);\n' + HONEST),
    "a file by a renamed macro": rejected(
        "include", 'use std::include_str as take;\nconst P: &str = take!("/etc/passwd");\n' + HONEST),
    "a file as a module": rejected("outside_file", '#[path = "/etc/passwd"]\nmod secret { mod x {} }\n' + HONEST),
    "a module elsewhere": rejected("outside_file", "mod elsewhere;\n" + HONEST),
    "a module elsewhere by a macro": uncompiled("macro_rules! m { ($n:ident) => { mod $n; } }\nm!(root);\n" + HONEST),
    "an endless file": uncompiled(
        'macro_rules! call { ($m:ident) => { $m!("/dev/zero") } }\nconst P: &[u8] = call!(include_bytes);\n' + HONEST),
    "the compiler's environment by a file": uncompiled(
        'macro_rules! call { ($m:ident) => { $m!("/proc/self/environ") } }\nconst P: &str = call!(include_str);\n' + HONEST),
    "the environment": rejected("environment", 'const P: &str = env!("PATH");\n' + HONEST),
    "the environment, if any": rejected("environment", 'const P: Option<&str> = option_env!("HOME");\n' + HONEST),
    "the environment by a renamed macro": rejected(
        "environment", 'use std::env as hush;\nconst P: &str = hush!("PATH");\n' + HONEST),
    "the environment by a macro's macro": uncompiled(
        'macro_rules! call { ($m:ident) => { $m!("HOME") } }\nconst P: &str = call!(env);\n' + HONEST),
    "a macro that runs in the compiler": rejected(
        "proc_macro", "extern crate proc_macro;\n#[proc_macro]\npub fn m(t: proc_macro::TokenStream) -> "
        "proc_macro::TokenStream { t }\n" + HONEST),
    "a derive that runs in the compiler": rejected(
        "proc_macro", "extern crate proc_macro;\n#[proc_macro_derive(M)]\npub fn m(t: proc_macro::TokenStream) -> "
        "proc_macro::TokenStream { t }\n" + HONEST),
    "a macro that runs in the compiler, by a macro": uncompiled(
        "extern crate proc_macro;\nmacro_rules! tag { ($a:ident, $i:item) => { #[$a] $i } }\n"
        "tag!(proc_macro, pub fn m(t: proc_macro::TokenStream) -> proc_macro::TokenStream { t });\n" + HONEST),
    "the compiler's own crates": uncompiled("extern crate rustc_driver;\n" + HONEST),
    "a crate for the compiler": rejected("crate_attribute", "#![feature(rustc_private)]\n" + HONEST),
    "a kind of crate": rejected("crate_attribute", '#![crate_type = "proc-macro"]\n' + HONEST),
    "a name of a crate": rejected("crate_attribute", '#![crate_name = "rf_wire"]\n' + HONEST),
    "no std": rejected("crate_attribute", "#![no_std]\n" + HONEST),
}  # fmt: skip

RUN_TIME: dict[str, Attack] = {
    "files": rejected("files", SOLVE + '{ std::fs::read("/etc/passwd").map_or(0, |_| x * x) }'),
    "files by an import of all": rejected("files", "use std::fs::*;\n" + SOLVE + '{ read("/x").map_or(0, |_| x * x) }'),
    "files by a nested import": rejected(
        "files", "use std::{collections::HashMap, fs::{File, OpenOptions}};\n" + SOLVE
        + '{ File::open("/x").map_or(0, |_| x * x) }'),
    "files under another name": _reached('hidden::fs::read_dir("/")'),
    "files by a path in a macro": wrong(
        "macro_rules! at { ($($p:ident)::+) => { $($p)::+(\"/etc/passwd\") } }\n"
        + SOLVE + "{ at!(std::fs::read).map_or(0, |_| x * x) }"),
    "the memory of itself": _reached('hidden::fs::OpenOptions::new().write(true).open("/proc/self/mem")'),
    "the list of processes": _reached('hidden::fs::read_dir("/proc")'),
    "devices": _reached('hidden::fs::read_dir("/dev")'),
    "shared memory": _reached('hidden::fs::write("/dev/shm/channel", "x")'),
    "a temporary file": _reached("hidden::fs::File::create(hidden::env::temp_dir().join(\"channel\"))"),
    "a folder": _reached('hidden::fs::create_dir("/job/channel")'),
    "a link": _reached('hidden::os::unix::fs::symlink("/etc/passwd", "/job/link")'),
    "a hard link": _reached('hidden::fs::hard_link("/server", "/job/link")'),
    "another root": _reached('hidden::os::unix::fs::chroot("/rust")'),
    "other rights": _reached(
        'hidden::fs::set_permissions("/server", hidden::os::unix::fs::PermissionsExt::from_mode(0o777))'),
    "what is there is gone": _reached('hidden::fs::remove_file("/job/batch.so")'),
    "the network": rejected("network", SOLVE + '{ std::net::TcpStream::connect("1.1.1.1:80").map_or(0, |_| x * x) }'),
    "the network under another name": _reached('hidden::net::UdpSocket::bind("0.0.0.0:0")'),
    "a port of the machine": _reached('hidden::net::TcpListener::bind("127.0.0.1:0")'),
    "names of the network": _reached(
        'hidden::net::ToSocketAddrs::to_socket_addrs("localhost:80").map(|mut a| a.next())'),
    "a socket in the file system": _reached('hidden::os::unix::net::UnixStream::connect("/var/run/docker.sock")'),
    "a socket without a name": _reached("hidden::os::unix::net::UnixStream::pair()"),
    "a pipe": _reached("hidden::io::pipe()"),
    "a process": _reached('hidden::process::Command::new("/server").spawn()'),
    "a shell": _reached('hidden::process::Command::new("/bin/sh").arg("-c").arg("true").status()'),
    "itself as another program": wrong(
        ALIAS + "use hidden::os::unix::process::CommandExt;\n" + SOLVE
        + '{ hidden::process::Command::new("/server").exec().raw_os_error().map_or(x * x, |_| 0) }'),
    "the environment at run time": rejected("environment", SOLVE + '{ std::env::var("HOME").map_or(0, |_| x * x) }'),
    "secrets of the environment": wrong(
        ALIAS + SOLVE + '{ hidden::env::vars().filter(|(k, _)| k.contains("KEY") || k.contains("HOME")).count() as i64 }'),
    "its own program's path": _reached("hidden::env::current_exe().and_then(hidden::fs::read)"),
}  # fmt: skip

UNSAFE: dict[str, Attack] = {
    "unsafe": rejected("unsafe", SOLVE + "{ unsafe { std::hint::unreachable_unchecked() } }"),
    "unsafe in a macro": rejected(
        "unsafe", "macro_rules! u { () => { unsafe { *(8 as *const i64) } } }\n" + SOLVE + "{ u!() }"),
    "an unsafe function": rejected("unsafe", "unsafe fn f() {}\n" + HONEST),
    "an unsafe trait": rejected("unsafe", "struct S(*mut u8);\nunsafe impl Send for S {}\n" + HONEST),
    "an unsafe attribute": rejected("unsafe", "#[unsafe(export_name = \"x\")]\npub fn f() {}\n" + HONEST),
    "two types in one place": rejected("unsafe", "union U { a: u64, b: f64 }\n" + HONEST),
    "foreign functions": rejected("unsafe", 'extern "C" { fn getpid() -> i32; }\n' + HONEST),
    "foreign functions that are safe": unparsed(
        'unsafe extern "C" { safe fn getpid() -> i32; }\n' + SOLVE + "{ getpid().into() }"),
    "foreign functions by a macro": uncompiled(
        'macro_rules! say { ($($t:tt)*) => { $($t)* } }\nsay! { extern "C" { fn getpid() -> i32; } }\n'
        + SOLVE + "{ getpid().into() }"),
    "assembly": rejected("unsafe", 'use std::arch::global_asm;\nglobal_asm!("nop");\n' + HONEST),
    "assembly in a function": rejected("unsafe", SOLVE + '{ std::arch::asm!("nop"); x * x }'),
    "assembly by a renamed macro": rejected("unsafe", 'use std::arch::global_asm as ga;\nga!("nop");\n' + HONEST),
    "leave for unsafe code": uncompiled("#[allow(unsafe_code)]\nmod m {}\n" + HONEST),
}  # fmt: skip

MACHINE: dict[str, Attack] = COMPILE_TIME | RUN_TIME | UNSAFE
