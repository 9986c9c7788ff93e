"""Paid without an answer: early exits, tests that test nothing, reports of one's own, luck."""

# ruff: noqa: E501  (candidates read better whole)
from __future__ import annotations

from hostile.attack import ALIAS, HONEST, SOLVE, Attack, crashes, missing, rejected, uncompiled, wrong

_DIES = "struct D;\nimpl Drop for D { fn drop(&mut self) { hidden::process::exit(0) } }\n"
_PATH = "macro_rules! at { ($($p:ident)::+ ( $($a:tt)* )) => { $($p)::+($($a)*) } }\n"

EXITS: dict[str, Attack] = {
    "exit with success": rejected("process", SOLVE + "{ std::process::exit(0) }"),
    "exit under another name": wrong(ALIAS + SOLVE + "{ hidden::process::exit(0) }"),
    "exit by a renamed import": rejected("process", "use std::process::exit as done;\n" + SOLVE + "{ done(0) }"),
    "exit by an import of many": rejected("process", "use std::{fmt, process::{self}};\n" + SOLVE
                                          + "{ process::exit(0) }"),
    "exit by a path in pieces": rejected("process", SOLVE + "{ std ::\n    process :: exit(0) }"),
    "exit by a path with a comment in it": wrong(SOLVE + "{ std:: /* no */ process::exit(0) }"),
    "exit by a path that a macro puts together": wrong(_PATH + SOLVE + "{ at!(std::process::exit(0)) }"),
    "exit by a function pointer": wrong(ALIAS + SOLVE + "{ let f: fn(i32) -> ! = hidden::process::exit; f(0) }"),
    "exit from a thread": wrong(ALIAS + SOLVE + "{ std::thread::spawn(|| hidden::process::exit(0)); loop {} }"),
    "exit from a destructor": wrong(
        ALIAS + _DIES + "thread_local! { static K: D = D; }\n" + SOLVE + "{ K.with(|_| 0) }"),
    "exit while unwinding": wrong(ALIAS + _DIES + SOLVE + "{ let _d = D; panic!() }"),
    "exit while an unwound value is dropped": crashes(ALIAS + _DIES + SOLVE + "{ std::panic::panic_any(D) }"),
    "exit as a panic does": crashes(ALIAS + SOLVE + "{ hidden::process::exit(101) }"),
    "exit as an unconfined process does": crashes(ALIAS + SOLVE + "{ hidden::process::exit(120) }"),
    "exit as one whose answer is lost does": crashes(ALIAS + SOLVE + "{ hidden::process::exit(121) }"),
    "exit as a missing program does": crashes(ALIAS + SOLVE + "{ hidden::process::exit(127) }"),
    "exit as a killed process does": crashes(ALIAS + SOLVE + "{ hidden::process::exit(137) }"),
    "exit with every bit": crashes(ALIAS + SOLVE + "{ hidden::process::exit(-1) }"),
    "abort": crashes(ALIAS + SOLVE + "{ hidden::process::abort() }"),
    "blames the machine": crashes(
        SOLVE + '{ eprintln!("Resource temporarily unavailable (os error 11)"); panic!("No space left on device") }'),
}  # fmt: skip
"""How a process ends earns nothing, and its exit code never makes a fault of ours out of its own."""

HARNESS: dict[str, Attack] = {
    "assertions that assert nothing": wrong("macro_rules! assert_eq { ($($t:tt)*) => {} }\n" + SOLVE + "{ 0 }"),
    "exported assertions": wrong("#[macro_export]\nmacro_rules! assert_eq { ($($t:tt)*) => {} }\n" + SOLVE + "{ 0 }"),
    "every macro of std redefined": wrong(
        "".join(f"macro_rules! {name} {{ ($($t:tt)*) => {{ loop {{}} }} }}\n"
                for name in ("panic", "assert", "println", "write", "matches", "vec", "format", "unreachable"))
        + SOLVE + "{ 0 }"),
    "a std of its own": wrong(
        "#[allow(dead_code)]\nmod std { pub mod vec { pub struct Vec; } }\nmod core {}\n" + SOLVE + "{ 0 }"),
    "types of its own under known names": uncompiled(
        "#[allow(non_camel_case_types)]\npub struct i64;\npub fn solve(_: i64) -> i64 { i64 }"),
    "equal to everything": uncompiled(
        "pub struct Any;\nimpl<T> PartialEq<T> for Any { fn eq(&self, _: &T) -> bool { true } }\n"
        "pub fn solve(_: i64) -> Any { Any }"),
    "equal to everything, unnamed": uncompiled(
        "struct Any;\nimpl PartialEq<i64> for Any { fn eq(&self, _: &i64) -> bool { true } }\n"
        "pub fn solve(_: i64) -> impl PartialEq<i64> { Any }"),
    "a number by dereference": uncompiled(
        "pub struct Any(i64);\nimpl std::ops::Deref for Any { type Target = i64; fn deref(&self) -> &i64 { &self.0 } }\n"
        "pub fn solve(x: i64) -> Any { Any(x) }"),
    "a trait of the wire's name": wrong(
        "pub trait Encode { fn encode(&self, out: &mut Vec<u8>); }\n"
        "impl<T> Encode for T { fn encode(&self, out: &mut Vec<u8>) { out.push(4) } }\n" + SOLVE + "{ 0 }"),
    "any answer that is asked for": wrong("pub fn solve<T: Default>(_: i64) -> T { T::default() }"),
    "no answer at all": crashes("pub fn solve(_: i64) -> ! { panic!() }"),
    "an answer later": uncompiled("pub async fn solve(x: i64) -> i64 { x * x }"),
    "a foreign calling convention": rejected("unsafe", 'pub extern "C" fn solve(x: i64) -> i64 { x * x }'),
    "a test report of its own": wrong(
        SOLVE + '{ println!("running 2 tests\\ntest result: ok. 2 passed; 0 failed"); 0 }'),
    "a test report in JSON": wrong(
        SOLVE + '{ println!("{{\\"type\\":\\"suite\\",\\"event\\":\\"ok\\",\\"passed\\":2}}"); 0 }'),
    "tests of its own that pass": wrong(SOLVE + "{ 0 }\n#[test]\nfn ok() {}\n#[test]\n#[ignore]\nfn no() { panic!() }"),
    "only outside of tests": rejected("crate_attribute", "#![cfg(not(test))]\n" + HONEST),
    "only in tests": uncompiled("#[cfg(test)]\n" + HONEST),
    "never": uncompiled("#[cfg(any())]\n" + HONEST),
    "a macro of the function's name": missing("macro_rules! solve { ($x:expr) => { $x * $x } }"),
    "a constant of the function's name": missing("pub const solve: fn(i64) -> i64 = |x| x * x;"),
    "a method of the function's name": missing("pub struct S;\nimpl S { " + HONEST + " }"),
    "a function that a macro makes": missing(
        "macro_rules! make { ($n:ident) => { pub fn $n(x: i64) -> i64 { x * x } } }\nmake!(solve);"),
    "a panic hook": rejected("panic_hook", SOLVE + "{ std::panic::set_hook(Box::new(|_| ())); panic!() }"),
    "a panic hook by a path in a macro": rejected(
        "panic_hook", _PATH + SOLVE + "{ at!(std::panic::set_hook(Box::new(|_| ()))); panic!() }"),
    "a panic whose value does not end": crashes(
        "struct D;\nimpl Drop for D { fn drop(&mut self) { loop {} } }\n" + SOLVE + "{ std::panic::panic_any(D) }"),
    "a panic with the answer": crashes(SOLVE + "{ std::panic::panic_any(x * x) }"),
    "a panic resumed": crashes(SOLVE + "{ std::panic::resume_unwind(Box::new(x * x)) }"),
    "a panic in a panic": crashes(
        "struct D;\nimpl Drop for D { fn drop(&mut self) { panic!() } }\n" + SOLVE + "{ let _d = D; panic!() }"),
    "every panic caught": wrong(SOLVE + "{ std::panic::catch_unwind(|| todo!()).unwrap_or(0) }"),
}  # fmt: skip
"""What a harness inside the candidate's own process and names would believe."""

GUESSES: dict[str, Attack] = {
    "not yet": crashes(SOLVE + "{ todo!() }"),
    "not yet, said otherwise": crashes(SOLVE + '{ unimplemented!("soon") }'),
    "a table of the examples": wrong(SOLVE + "{ match x { 5 => 25, 10 => 100, _ => -1 } }"),
    "the clock": wrong(SOLVE + "{ std::time::Instant::now().elapsed().as_nanos() as i64 + 100 }"),
    "chance": wrong(
        "use std::hash::{BuildHasher, RandomState};\n" + SOLVE + "{ RandomState::new().hash_one(x) as i64 }"),
    "an address": wrong(SOLVE + "{ &x as *const i64 as i64 }"),
    "counts its calls": wrong(
        "use std::sync::atomic::{AtomicI64, Ordering};\nstatic CALLS: AtomicI64 = AtomicI64::new(1);\n"
        + SOLVE + "{ [0, -4, -9][CALLS.fetch_add(1, Ordering::SeqCst) as usize % 3] }"),
    "remembers the last case": wrong(
        "use std::sync::Mutex;\nstatic SEEN: Mutex<Vec<i64>> = Mutex::new(Vec::new());\n"
        + SOLVE + "{ let mut s = SEEN.lock().unwrap(); s.push(x); if s.len() > 1 { 9 } else { 0 } }"),
}  # fmt: skip
"""Answers that know nothing of the question."""

FORGING: dict[str, Attack] = EXITS | HARNESS | GUESSES
