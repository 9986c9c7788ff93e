"""Candidates that try to be paid without an answer, to see or touch what isn't theirs, or to stop the farm.

Each ends as expected, none passes, and the honest siblings in the same batches all pass.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from reward_farm.compiler import Compiler, Unit
from reward_farm.exam import prepare
from reward_farm.examiner import Examiner
from reward_farm.glue import write_crate
from reward_farm.judge import Judge
from reward_farm.problem import Case, Problem, Submission
from reward_farm.sandbox import Sandbox
from reward_farm.settings import FarmSettings
from reward_farm.toolchain import find_toolchain
from reward_farm.verdict import Outcome, Scored

SQUARE = Problem("solve", ("i64",), "i64", (Case((2,), 4), Case((3,), 9)))
HONEST = "pub fn solve(x: i64) -> i64 { x * x }"
SOLVE = "pub fn solve(x: i64) -> i64 "
ALIAS = "extern crate std as hidden;\n"  # the gate looks for `std::`

CVE_RS = """
const STATIC_UNIT: &&() = &&();
fn translate<'a, 'b, T: ?Sized>(_: &'a &'b (), x: &'b mut T) -> &'a mut T { x }
fn expand<'a, 'b, T: ?Sized>(x: &'a mut T) -> &'b mut T {
    let f: for<'x> fn(_, &'x mut T) -> &'b mut T = translate;
    f(STATIC_UNIT, x)
}
enum Either<A, B> { A(Option<Box<A>>), B(Option<Box<B>>) }
fn become_other<A, B>(value: A) -> B {
    let mut either: Either<A, B> = Either::B(None);
    let either = std::hint::black_box(&mut either);
    let Either::B(slot) = either else { panic!() };
    let slot = expand(slot);
    *either = Either::A(Some(Box::new(value)));
    *slot.take().unwrap()
}
"""

R, T = Outcome.REJECTED, Outcome.TEST_FAILED
HOSTILE: dict[str, tuple[str, Outcome, str | None]] = {
    # Paid without an answer.
    "exit with success": (SOLVE + "{ std::process::exit(0) }", R, "process"),
    "exit under another name": (ALIAS + SOLVE + "{ hidden::process::exit(0) }", T, None),
    "exit from a thread": (ALIAS + SOLVE + "{ std::thread::spawn(|| hidden::process::exit(0)); loop {} }", T, None),
    "exit from a destructor": (
        ALIAS + "struct D;\nimpl Drop for D { fn drop(&mut self) { hidden::process::exit(0) } }\n"
        "thread_local! { static K: D = D; }\n" + SOLVE + "{ K.with(|_| 0) }", T, None),
    "assertions that assert nothing": ("macro_rules! assert_eq { ($($t:tt)*) => {} }\n" + SOLVE + "{ 0 }", T, None),
    "exported assertions": (
        "#[macro_export]\nmacro_rules! assert_eq { ($($t:tt)*) => {} }\n" + SOLVE + "{ 0 }", T, None),
    "equal to everything": (
        "pub struct Any;\nimpl<T> PartialEq<T> for Any { fn eq(&self, _: &T) -> bool { true } }\n"
        "pub fn solve(_: i64) -> Any { Any }", Outcome.COMPILE_ERROR, None),
    "a test report of its own": (
        SOLVE + '{ println!("running 2 tests\\ntest result: ok. 2 passed; 0 failed"); 0 }', T, None),
    "only outside of tests": ("#![cfg(not(test))]\n" + HONEST, R, "crate_attribute"),
    "no main": ("#![no_main]\n" + HONEST, R, "crate_attribute"),
    "a main of its own": ("#[no_mangle]\npub fn main() {}\n" + HONEST, R, "unsafe"),
    "a main behind a condition": ("#[cfg_attr(all(), no_mangle)]\npub fn main() {}\n" + HONEST, R, "crate_attribute"),
    "a constructor": (
        '#[link_section = ".init_array"]\nstatic F: fn() = hook;\nfn hook() {}\n' + HONEST, R, "unsafe"),
    "an allocator": (
        "#[global_allocator]\nstatic A: std::alloc::System = std::alloc::System;\n" + HONEST, R, "unsafe"),
    "a panic hook": (SOLVE + "{ std::panic::set_hook(Box::new(|_| ())); panic!() }", R, "panic_hook"),
    "a panic whose value does not end": (
        "struct D;\nimpl Drop for D { fn drop(&mut self) { loop {} } }\n" + SOLVE + "{ std::panic::panic_any(D) }",
        Outcome.TEST_CRASH, None),
    # What belongs to siblings and harness.
    "a sibling's answer": (SOLVE + "{ crate::c0::solve(x) }", Outcome.COMPILE_ERROR, None),
    "everything above": ("use super::*;\n" + SOLVE + "{ m0::solve(x) }", Outcome.COMPILE_ERROR, None),
    "the dispatcher": (
        SOLVE + "{ let mut v = vec![]; crate::rf_dispatch(0, &x.to_le_bytes(), &mut v); 4 }",
        Outcome.COMPILE_ERROR, None),
    "the wire": ("extern crate rf_wire;\n" + HONEST, Outcome.COMPILE_ERROR, None),
    "the pipe of answers": (
        ALIAS + "use std::io::Write;\n" + SOLVE + '{ for n in 0..9 { if let Ok(mut f) = hidden::fs::File::create('
        'format!("/proc/self/fd/{n}")) { let _ = f.write_all(&[4; 64]); } } 0 }', T, None),
    "any memory, by a hole in the type system": (
        CVE_RS + SOLVE + "{ let here = solve as fn(i64) -> i64 as usize;\n"
        "    let code: &'static [u8; 64] = become_other(here);\n"
        "    let other: fn(i64) -> i64 = become_other(here + code[0] as usize);\n    other(x) }", T, None),
    # What belongs to the machine.
    "a file at compile time": ('const P: &str = include_str!("/etc/passwd");\n' + HONEST, R, "include"),
    "a file by a macro's macro": (
        'macro_rules! call { ($m:ident) => { $m!("/etc/passwd") } }\nconst P: &str = call!(include_str);\n' + HONEST,
        Outcome.COMPILE_ERROR, None),
    "a file as a module": ('#[path = "/etc/passwd"]\nmod secret { mod x {} }\n' + HONEST, R, "outside_file"),
    "a module elsewhere": ("mod elsewhere;\n" + HONEST, R, "outside_file"),
    "the environment": ('const P: &str = env!("PATH");\n' + HONEST, R, "environment"),
    "the environment, if any": ('const P: Option<&str> = option_env!("HOME");\n' + HONEST, R, "environment"),
    "files at run time": (SOLVE + '{ std::fs::read("/etc/passwd").map_or(0, |_| x * x) }', R, "files"),
    "files under another name": (
        ALIAS + SOLVE + '{ hidden::fs::read_dir("/").map_or(0, |_| x * x) }', T, None),
    "the network": (SOLVE + '{ std::net::TcpStream::connect("1.1.1.1:80").map_or(0, |_| x * x) }', R, "network"),
    "the network under another name": (
        ALIAS + SOLVE + '{ hidden::net::UdpSocket::bind("0.0.0.0:0").map_or(0, |_| x * x) }', T, None),
    "a process": (
        ALIAS + SOLVE + '{ hidden::process::Command::new("/server").spawn().map_or(0, |_| x * x) }', T, None),
    "a file to write": (ALIAS + SOLVE + '{ hidden::fs::write("/job/x", "x").map_or(0, |_| x * x) }', T, None),
    "unsafe": (SOLVE + "{ unsafe { std::hint::unreachable_unchecked() } }", R, "unsafe"),
    "unsafe in a macro": (
        "macro_rules! u { () => { unsafe { *(8 as *const i64) } } }\n" + SOLVE + "{ u!() }", R, "unsafe"),
    "foreign functions": ('extern "C" { fn getpid() -> i32; }\n' + HONEST, R, "unsafe"),
    "assembly": ('use std::arch::global_asm;\nglobal_asm!("nop");\n' + HONEST, R, "unsafe"),
    # What stops the farm.
    "a crate for the compiler": ("#![feature(rustc_private)]\n" + HONEST, R, "crate_attribute"),
    "no limit to recursion": ("#![recursion_limit = \"1000000\"]\n" + HONEST, R, "crate_attribute"),
    "no limit to constants": (
        "#![allow(long_running_const_eval)]\nconst K: u8 = loop {};\n" + HONEST, R, "crate_attribute"),
    "endless nesting": (SOLVE + "{ " + "(" * 9000 + "x" + ")" * 9000 + " }", R, "nesting"),
    "endless sum": (SOLVE + "{ " + "1+" * 9000 + "x }", R, "nesting"),
    "a thousand errors": (SOLVE + "{ " + "".join(f"a{n}; " for n in range(1000)) + "0 }", Outcome.COMPILE_ERROR, None),
    "spins": (SOLVE + "{ loop {} }", Outcome.TEST_TIMEOUT, None),
    "sleeps": (SOLVE + "{ std::thread::park(); x * x }", Outcome.TEST_TIMEOUT, None),
    "floods the output": (SOLVE + '{ loop { println!("{}", "x".repeat(4096)); } }', Outcome.TEST_TIMEOUT, None),
    "takes all memory": (SOLVE + "{ let mut v = vec![1u8]; loop { v.extend(v.clone()); } }", Outcome.TEST_CRASH, None),
    "asks for all memory": (SOLVE + "{ vec![0u8; 1 << 40][x as usize] as i64 }", Outcome.TEST_CRASH, None),
    "endless threads": (
        SOLVE + "{ loop { std::mem::forget(std::thread::spawn(|| std::thread::park())); } }", Outcome.TEST_CRASH, None),
    "endless recursion": (
        SOLVE + "{ if x == i64::MIN { 0 } else { 1 + solve(x + 1) } }", Outcome.TEST_CRASH, None),
    # What is no text.
    "too large": (HONEST + "//" + "x" * 40_000, R, "too_large"),
    "a zero byte": (HONEST + "\0", R, "encoding"),
    "half a character": (HONEST + "// \ud800", R, "encoding"),
    "text that runs backwards": (HONEST + "// \u202e", R, "encoding"),
}  # fmt: skip
UNDEFINED = {"any memory, by a hole in the type system": {T, Outcome.TEST_CRASH, Outcome.TEST_TIMEOUT}}
"""What a jump into nowhere does can't be foretold, only that it earns nothing."""


@pytest.fixture(scope="module")
def verdicts(judge_all: Callable[..., dict[str, Scored]], settings: FarmSettings) -> dict[str, Scored]:
    candidates: dict[str, tuple[str, Problem]] = {}
    for number, (name, (source, _, _)) in enumerate(HOSTILE.items()):
        candidates[name] = (source, SQUARE)
        if number % 5 == 0:
            candidates[f"sibling {number}"] = (f"{HONEST} // {number}", SQUARE)
    verdicts = judge_all(candidates)
    assert settings.scratch_dir is not None
    assert list(settings.scratch_dir.iterdir()) == []
    return verdicts


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_candidate_earns_nothing(name: str, verdicts: dict[str, Scored]) -> None:
    _, outcome, cheat = HOSTILE[name]
    verdict = verdicts[name]
    assert verdict.outcome in UNDEFINED.get(name, {outcome}), (verdict.diagnostics[:3], verdict.cases)
    assert verdict.cheat == cheat
    assert not any(case.status == "passed" for case in verdict.cases)
    assert verdict.reward.tests == verdict.reward.quality == 0.0
    if outcome is Outcome.REJECTED:
        assert verdict.reward.total == 0.0


def test_the_siblings_of_hostile_candidates_pass(verdicts: dict[str, Scored]) -> None:
    siblings = {name: verdict.outcome for name, verdict in verdicts.items() if name.startswith("sibling")}
    assert len(siblings) >= 10
    assert set(siblings.values()) == {Outcome.PASSED}


COMPILE_BOMBS = {
    "an endless constant": (
        "const fn f() -> u64 { let mut n = 0u64; while n < u64::MAX { n += 1; } n }\nconst K: u64 = f();\n"
        + SOLVE + "{ x + K as i64 }", Outcome.COMPILE_TIMEOUT),
    "types that double": (
        "trait Deep { fn go(&self) {} }\nimpl Deep for () {}\nstruct W<T>(T);\n"
        "impl<T> Deep for W<T> where W<(W<T>, W<T>)>: Deep {}\n" + SOLVE + "{ W(()).go(); x }", Outcome.COMPILE_ERROR),
    "macros that double": (
        "macro_rules! a { ($($t:tt)*) => { a!($($t)* $($t)*) } }\n" + SOLVE + "{ a!(x x); 0 }", Outcome.COMPILER_CRASH),
}  # fmt: skip


def test_a_compile_bomb_takes_no_sibling_with_it(settings: FarmSettings) -> None:
    tight = settings.model_copy(update={"compile_cpu_seconds": 1, "compile_memory_mb": 1024})
    submissions = [Submission(name, source, SQUARE) for name, (source, _) in COMPILE_BOMBS.items()]
    submissions += [Submission(f"sibling {number}", f"{HONEST} // {number}", SQUARE) for number in range(3)]
    with Judge(tight) as judge:
        verdicts = {verdict.id: verdict for verdict in judge.judge(submissions)}
    for name, verdict in verdicts.items():
        assert isinstance(verdict, Scored), verdict
        if name in COMPILE_BOMBS:
            # Whether memory or time ends it first depends on the machine; that it is the candidate's fault does not.
            ends = {COMPILE_BOMBS[name][1], Outcome.COMPILE_TIMEOUT, Outcome.COMPILER_CRASH}
            assert verdict.outcome in ends, (name, verdict.diagnostics)
            assert verdict.reward.total == 4.0
        else:
            assert verdict.outcome is Outcome.PASSED


# The gate looked away and the compiler allowed unsafe code: the jail alone must hold.
ATTACKS = {
    "fork": "fork()",
    "send a signal to the harness": "kill(1, 9)",
    "trace the harness": "ptrace(16, 2, 0, 0)",
    "make a namespace": "unshare(0x10000000)",
    "open a socket": "socket(2, 1, 0)",
    "open a file": 'open(c"/job/batch.so".as_ptr(), 0)',
    "run a program": 'execve(c"/server".as_ptr(), 0, 0)',
    "map memory that can run": "if mmap(0, 4096, 7, 0x22, -1, 0) == usize::MAX { -1 } else { 0 }",
    "use a keyring": "syscall(250, 0, -3, 0, 0)",
    "use io_uring": "syscall(425, 8, 0)",
    "read the job pipe": "if read(0, [0u8; 64].as_mut_ptr(), 64) > 0 { 0 } else { -1 }",
    "raise its own limits": "setrlimit(9, [u64::MAX; 2].as_ptr())",
    "lift its timer": "setitimer(2, [0u64; 4].as_ptr(), 0)",
}
RAW = (
    'use std::ffi::c_char;\nextern "C" {\n'
    "    fn fork() -> i32; fn kill(p: i32, s: i32) -> i32; fn unshare(f: i32) -> i32;\n"
    "    fn ptrace(r: i64, p: i32, a: usize, d: usize) -> i64; fn socket(d: i32, t: i32, p: i32) -> i32;\n"
    "    fn open(p: *const c_char, f: i32) -> i32; fn execve(p: *const c_char, a: usize, e: usize) -> i32;\n"
    "    fn mmap(a: usize, l: usize, p: i32, f: i32, d: i32, o: i64) -> usize; fn syscall(n: i64, ...) -> i64;\n"
    "    fn read(f: i32, b: *mut u8, n: usize) -> isize; fn setrlimit(r: i32, l: *const u64) -> i32;\n"
    "    fn setitimer(w: i32, n: *const u64, o: usize) -> i32;\n}\n"
    "pub fn attack(which: usize) -> i64 {\n    unsafe { match which {\n"
    + "".join(f"        {number} => ({code}) as i64,\n" for number, code in enumerate(ATTACKS.values()))
    + "        _ => 7,\n    } }\n}\n"
)


def test_the_jail_holds_without_gate_and_compiler(settings: FarmSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    def permissive(folder: Path, *arguments: object) -> None:
        write_crate(folder, *arguments)  # type: ignore[arg-type]
        root = folder / "root.rs"
        root.write_text(root.read_text().replace("#[forbid(unsafe_code)]", ""))

    monkeypatch.setattr("reward_farm.compiler.write_crate", permissive)
    cases = (*(Case((number,), -1) for number in range(len(ATTACKS))), Case((99,), 7))
    problem = Problem("attack", ("usize",), "i64", cases)
    sandbox = Sandbox(find_toolchain(settings), settings)
    with Compiler(sandbox) as compiler:
        fate = compiler.compile([Unit(0, RAW, problem)])[0]
        assert fate.outcome is None, fate.diagnostics
        examined = Examiner(sandbox).examine(compiler.libraries[0], {0: prepare(problem)})[0]
    asked = zip((*ATTACKS, "control"), examined.cases, strict=True)
    through = {name: case for name, case in asked if case.status != "passed"}
    assert not through
