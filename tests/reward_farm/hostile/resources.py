"""What takes time, memory, threads or output while it runs."""

from __future__ import annotations

from hostile.attack import SOLVE, Attack, crashes, late, wrong
from reward_farm.problem import Case, Problem
from reward_farm.verdict import Outcome

GROW = Problem("grow", ("usize",), "String", (Case((3,), "xxx"), Case((1,), "x")))
_FULL = (Outcome.TEST_CRASH, Outcome.TEST_TIMEOUT)
_FLOODS = (Outcome.TEST_TIMEOUT, Outcome.OUTPUT_LIMIT, Outcome.TEST_CRASH)
_TOO_LONG = (Outcome.TEST_FAILED, *_FLOODS)

TIME: dict[str, Attack] = {
    "spins": late(SOLVE + "{ loop {} }"),
    "spins in a thread that is waited for": late(SOLVE + "{ std::thread::spawn(|| loop {}).join().unwrap_or(0) }"),
    "spins in eight threads": late(
        SOLVE + "{ for _ in 0..8 { std::thread::spawn(|| loop {}); } loop { std::thread::yield_now() } }"),
    "spins by the clock": late(
        SOLVE + "{ let t = std::time::Instant::now(); while t.elapsed().as_secs() < 60 {} x * x }"),
    "spins in a destructor": late(
        "struct D;\nimpl Drop for D { fn drop(&mut self) { loop {} } }\n" + SOLVE + "{ let _d = D; x * x }"),
    "spins while it panics": late(
        "struct D;\nimpl Drop for D { fn drop(&mut self) { loop {} } }\n" + SOLVE + "{ let _d = D; panic!() }"),
    "panics for ever": late(SOLVE + "{ loop { let _ = std::panic::catch_unwind(|| panic!()); } }"),
    "answers too late": late(SOLVE + "{ let mut n = 0u64; while n < 1 << 40 { n += 1; } x * x + n as i64 - n as i64 }"),
    "sleeps": late(SOLVE + "{ std::thread::sleep(std::time::Duration::from_secs(3600)); x * x }"),
    "waits for nobody": late(SOLVE + "{ std::thread::park(); x * x }"),
    "waits for itself": late(
        SOLVE + "{ let m = std::sync::Mutex::new(0); let _a = m.lock(); let _b = m.lock(); x * x }"),
    "leaves a thread that spins": wrong(SOLVE + "{ std::thread::spawn(|| loop {}); 0 }"),
    "leaves a destructor that spins": wrong(
        "struct D;\nimpl Drop for D { fn drop(&mut self) { loop {} } }\nthread_local! { static K: D = D; }\n"
        + SOLVE + "{ K.with(|_| 0) }"),
}  # fmt: skip

SPACE: dict[str, Attack] = {
    "takes all memory": Attack(SOLVE + "{ let mut v = vec![1u8]; loop { v.extend(v.clone()); } }", _FULL),
    "takes all memory in small pieces": Attack(
        SOLVE + "{ let mut v = Vec::new(); loop { v.push(Box::new([x; 512])); } }", _FULL),
    "loses all memory": Attack(SOLVE + "{ loop { std::mem::forget(vec![1u8; 1 << 24]); } }", _FULL),
    "asks for all memory": crashes(SOLVE + "{ vec![0u8; 1 << 40][x as usize] as i64 }"),
    "asks for more than there is": crashes(SOLVE + "{ Vec::<u64>::with_capacity(usize::MAX / 4).len() as i64 }"),
    "a string that doubles": Attack(SOLVE + '{ let mut s = String::from("x"); loop { s = s.repeat(2); } }', _FULL),
    "a map without end": Attack(
        SOLVE + "{ let mut m = std::collections::HashMap::new(); for k in 0u64.. { m.insert(k, [k; 8]); } 0 }", _FULL),
    "endless threads": crashes(
        SOLVE + "{ loop { std::mem::forget(std::thread::spawn(|| std::thread::park())); } }"),
    "threads with much stack": crashes(
        SOLVE + "{ (0..64).map(|_| std::thread::Builder::new().stack_size(1 << 28).spawn(std::thread::park).unwrap())"
        ".collect::<Vec<_>>().len() as i64 }"),
    "endless recursion": crashes(SOLVE + "{ if x == i64::MIN { 0 } else { 1 + solve(x + 1) } }"),
    "endless recursion with large frames": crashes(
        SOLVE + "{ let a = [x; 4096]; if x < 0 { 0 } else { solve(x + 1) + a[7] } }"),
    "endless recursion in a thread": crashes(
        "fn deep(n: u64) -> u64 { if n == u64::MAX { 0 } else { 1 + deep(n + 1) } }\n"
        + SOLVE + "{ std::thread::spawn(|| deep(0)).join().map_or(0, |_| x * x) }"),
    "endless destructors": crashes(
        "struct L(#[allow(dead_code)] Option<Box<L>>);\n"
        + SOLVE + "{ let mut l = L(None); for _ in 0..500_000 { l = L(Some(Box::new(l))); } drop(l); 0 }"),
    "an order that is none": Attack(
        SOLVE + "{ let mut n = 7u32; let mut v: Vec<u32> = (0..900).collect();\n"
        "    v.sort_by(|_, _| { n = n.wrapping_mul(1664525).wrapping_add(1013904223); (n >> 16 & 1).cmp(&1) }); 0 }",
        (Outcome.TEST_CRASH, Outcome.TEST_FAILED)),
}  # fmt: skip

OUTPUT: dict[str, Attack] = {
    "floods the output": Attack(SOLVE + '{ loop { println!("{}", "x".repeat(4096)); } }', _FLOODS),
    "floods the errors": Attack(SOLVE + '{ loop { eprintln!("{}", "x".repeat(4096)); } }', _FLOODS),
    "prints much at once": Attack(
        SOLVE + '{ println!("{}", "x".repeat(100 << 20)); 0 }', (Outcome.TEST_FAILED, *_FLOODS)),
    "a long panic": crashes(SOLVE + '{ panic!("{}", "x".repeat(10 << 20)) }'),
    "a long answer": Attack(
        'pub fn grow(n: usize) -> String { "x".repeat(n + (3 << 20)) }', _TOO_LONG, problem=GROW),
    "an answer as large as memory": Attack(
        'pub fn grow(n: usize) -> String { "x".repeat(n + (300 << 20)) }', _TOO_LONG, problem=GROW),
    "an answer in which another hides": Attack(
        'pub fn grow(n: usize) -> String { format!("{}\\0{}", "y", "x".repeat(n)) }', _TOO_LONG, problem=GROW),
}  # fmt: skip

RESOURCES: dict[str, Attack] = TIME | SPACE | OUTPUT
