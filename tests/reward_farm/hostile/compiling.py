"""What costs the compiler much, ends it, or makes it say what is not so."""

# ruff: noqa: E501  (candidates read better whole)
from __future__ import annotations

from hostile.attack import HONEST, SOLVE, Attack, bomb, rejected, uncompiled, unlinked, unparsed, wrong
from reward_farm.verdict import Outcome

_DEEP = "trait Deep { fn go(&self) {} }\nimpl Deep for () {}\nstruct W<T>(T);\n"


def _doubled(levels: int, first: str, each: str) -> str:
    """`first` names level 0; `each` makes level `{n}` of two of level `{m}`."""
    return "".join([first, *(each.format(n=n, m=n - 1) for n in range(1, levels + 1))])


LIMITS: dict[str, Attack] = {
    "no limit to recursion": rejected("crate_attribute", '#![recursion_limit = "1000000"]\n' + HONEST),
    "no limit to types": rejected("crate_attribute", '#![type_length_limit = "1000000000"]\n' + HONEST),
    "no limit to constants": rejected(
        "crate_attribute", "#![allow(long_running_const_eval)]\nconst K: u8 = loop {};\n" + HONEST),
    "no limit to one constant": rejected(
        "crate_attribute", "#[allow(long_running_const_eval)]\nconst K: u8 = loop {};\n" + HONEST),
    "endless nesting": rejected("nesting", SOLVE + "{ " + "(" * 9000 + "x" + ")" * 9000 + " }"),
    "endless blocks": rejected("nesting", SOLVE + "{" * 9000 + "x" + "}" * 9000),
    "endless sum": rejected("nesting", SOLVE + "{ " + "1+" * 9000 + "x }"),
    "endless negation": rejected("nesting", SOLVE + "{ " + "!" * 9000 + "x }"),
    "endless references": rejected("nesting", "type R = " + "&'static " * 3000 + "u8;\n" + HONEST),
    "endless types": rejected("nesting", "type V = " + "Vec<" * 5000 + "u8" + ">" * 5000 + ";\n" + HONEST),
    "endless calls": rejected("nesting", SOLVE + "{ x" + ".pow(1)" * 3000 + " }"),
    "endless conditions": rejected("nesting", SOLVE + "{ " + "if x == 1 { 1 } else " * 1000 + "{ 0 } }"),
    "endless modules": rejected("nesting", "mod a { " * 3000 + "}" * 3000 + "\n" + HONEST),
    "endless closures": rejected("nesting", SOLVE + "{ let _ = " + "|| " * 3000 + "0; x }"),
    "endless patterns": rejected("nesting", SOLVE + "{ let " + "&" * 9000 + "y = &x; y }"),
    "endless tokens": rejected(
        "nesting", "macro_rules! eat { ($($t:tt)*) => { 0 } }\n" + SOLVE + "{ eat!(" + "[" * 9000 + "]" * 9000 + ") }"),
}  # fmt: skip
"""Refused before rustc is started, whose parser would overflow its stack."""

CHEAP: dict[str, Attack] = {
    "a thousand errors": uncompiled(SOLVE + "{ " + "".join(f"a{n}; " for n in range(1000)) + "0 }"),
    "an error about a sibling": uncompiled(
        'compile_error!("error[E0308]: mismatched types --> c0.rs:1:1 m0::solve");\n' + HONEST),
    "an error in rustc's own JSON": uncompiled(
        'compile_error!("\\n{\\"$message_type\\":\\"artifact\\",\\"artifact\\":\\"x\\",\\"emit\\":\\"metadata\\"}\\n");\n' + HONEST),
    "an error that says that rustc crashed": uncompiled(
        'compile_error!("internal compiler error: the compiler unexpectedly panicked");\n' + HONEST),
    "an error with a name of types": uncompiled(
        _doubled(12, "type T0 = (u8, u8);\n", "type T{n} = (T{m}, T{m});\n")
        + SOLVE + "{ let t: Option<T12> = None; let s: u8 = t; 0 }"),
    "a type in itself": uncompiled("struct A(u8, A);\n" + HONEST),
    "an alias of itself": uncompiled("type A = A;\n" + HONEST),
    "a constant of itself": uncompiled("const A: u8 = B;\nconst B: u8 = A;\n" + HONEST),
    "a trait above itself": uncompiled("trait A: B {}\ntrait B: A {}\n" + HONEST),
    "an opaque type of itself": uncompiled("fn f() -> impl Sized { (f(), 0) }\n" + HONEST),
    "a pointer to itself": uncompiled(
        "struct A;\nimpl std::ops::Deref for A { type Target = A; fn deref(&self) -> &A { self } }\n"
        + SOLVE + "{ A.nothing() }"),
    "a macro of itself": uncompiled("macro_rules! r { () => { r!() } }\n" + SOLVE + "{ r!() }"),
    "a constant too large": uncompiled("const A: [u8; 1 << 33] = [0; 1 << 33];\n" + SOLVE + "{ A[x as usize] as i64 }"),
    "a constant that panics": Attack(
        SOLVE + "{ const { assert!(1 > 2) }; x * x }", (Outcome.COMPILE_ERROR, Outcome.LINK_FAILED)),
    "an overflow that is seen early": Attack(
        SOLVE + "{ (255u8 + 1) as i64 }", (Outcome.COMPILE_ERROR, Outcome.LINK_FAILED)),
    "functions of ever larger types": unlinked(
        "fn grow<T>(n: i64, t: T) -> i64 { if n == 0 { 0 } else { grow(n - 1, (t, 0u8)) } }\n" + SOLVE + "{ grow(x, 0) }"),
    "closures of closures": unlinked(
        "fn grow<F: Fn() -> i64>(n: i64, f: F) -> i64 { if n == 0 { f() } else { grow(n - 1, || f() + 1) } }\n"
        + SOLVE + "{ grow(x, || 0) }"),
    "a raw string of too many signs": unparsed(
        "const R: &str = r" + "#" * 300 + '"x"' + "#" * 300 + ";\n" + HONEST),
    "a compiler's crate of tests": uncompiled("extern crate test;\n" + HONEST),
    "an unstable word": unparsed("pub trait alias = Clone;\n" + HONEST),
    "thousands of lines": wrong(
        SOLVE + "{ let a0 = x; " + " ".join(f"let a{n} = a{n - 1} + 1;" for n in range(1, 900)) + " a899 }"),
}  # fmt: skip
"""Ended by an error of rustc's own, at little cost."""

BOMBS: dict[str, Attack] = {
    "a flood of errors": bomb(
        "macro_rules! e { ($($a:ident)*) => { $( nothing::$a::<[(); { $a }]>(); )* } }\n"
        + SOLVE + "{ e!(" + " ".join(f"u{n}" for n in range(4000)) + "); 0 }"),
    "an endless constant": bomb(
        "const fn f() -> u64 { let mut n = 0u64; while n < u64::MAX { n += 1; } n }\nconst K: u64 = f();\n"
        + SOLVE + "{ x + K as i64 }"),
    "a constant by slow recursion": bomb(
        "const fn fib(n: u64) -> u64 { if n < 2 { n } else { fib(n - 1) + fib(n - 2) } }\nconst K: u64 = fib(60);\n"
        + SOLVE + "{ x + K as i64 }"),
    "a constant of much memory": bomb(
        "const fn f() -> u8 { let a = [1u8; 1 << 31]; let b = [a[5]; 1 << 31]; b[9] }\nconst K: u8 = f();\n"
        + SOLVE + "{ x + K as i64 }"),
    "types that double": bomb(
        _DEEP + "impl<T> Deep for W<T> where W<(W<T>, W<T>)>: Deep {}\n" + SOLVE + "{ W(()).go(); x }"),
    "bounds that double": bomb(
        _DEEP + "impl<T, U> Deep for (T, U) where (W<T>, W<U>): Deep, (W<U>, W<T>): Deep {}\n"
        "impl<T> Deep for W<T> where (T, W<T>): Deep, (W<T>, T): Deep {}\n" + SOLVE + "{ W(((), ())).go(); x }"),
    "tuples that double": bomb(
        _DEEP + _doubled(40, "fn f0() -> impl Copy { 0u8 }\n", "fn f{n}() -> impl Copy {{ (f{m}(), f{m}()) }}\n")
        + SOLVE + "{ let t = f40(); std::mem::size_of_val(&t) as i64 }"),
    "aliases that double": bomb(
        _doubled(34, "type T0 = (u8, u8);\n", "type T{n} = (T{m}, T{m});\n")
        + SOLVE + "{ let t: Option<T34> = None; t.is_some() as i64 }"),
    "macros that double": bomb(
        "macro_rules! a { ($($t:tt)*) => { a!($($t)* $($t)*) } }\n" + SOLVE + "{ a!(x x); 0 }"),
    "macros of two macros": bomb(
        _doubled(40, "macro_rules! m0 { () => { 1 } }\n", "macro_rules! m{n} {{ () => {{ (m{m}!() + m{m}!()) }} }}\n")
        + SOLVE + "{ m40!() }"),
    "strings that double": bomb(
        _doubled(36, 'macro_rules! s0 { () => { "0123456789abcdef" } }\n',
                 "macro_rules! s{n} {{ () => {{ concat!(s{m}!(), s{m}!()) }} }}\n")
        + "const S: &str = s36!();\n" + SOLVE + "{ S.len() as i64 }"),
    "nested generics that double": bomb(
        _doubled(30, "fn g0<T>(_: T) -> usize { 1 }\n",
                 "fn g{n}<T: Clone>(t: T) -> usize {{ g{m}((t.clone(), 0u8)) + g{m}((0u8, t)) }}\n")
        + SOLVE + "{ g30(x) as i64 }"),
    "code that doubles in the code generator": bomb(
        _doubled(26, "#[inline(always)] fn i0(x: i64) -> i64 { x ^ 1 }\n",
                 "#[inline(always)] fn i{n}(x: i64) -> i64 {{ i{m}(i{m}(x)) }}\n") + SOLVE + "{ i26(x) }"),
    "patterns that double": bomb(
        SOLVE + "{ let b = x > 0; match (" + "b, " * 26 + ") { "
        + "".join("(" + "".join("true, " if k == n else "_, " for k in range(26)) + ") => 0, "
                  "(" + "".join("false, " if k in (n, n + 1) else "_, " for k in range(26)) + ") => 1, "
                  for n in range(26)) + "} }"),
    "a large file of code": bomb("pub static A: [u8; 1 << 29] = [1; 1 << 29];\n" + SOLVE + "{ A[x as usize] as i64 }"),
    "much memory of zeros": bomb(
        "".join(f"static MUCH{n}: [u64; 14 << 20] = [0; 14 << 20];\n" for n in range(4))
        + SOLVE + "{ x" + "".join(f" + MUCH{n}[x as usize] as i64" for n in range(4)) + " }"),
    "much memory of each thread": bomb(
        "".join(f"thread_local! {{ static MUCH{n}: [u64; 14 << 20] = const {{ [0; 14 << 20] }}; }}\n" for n in range(4))
        + SOLVE + "{ 0" + "".join(f" + MUCH{n}.with(|m| m[0] as i64)" for n in range(4)) + " }"),
    "a table of large constants": bomb(
        "const A: [u64; 1 << 20] = [7; 1 << 20];\nstatic T: [[u64; 1 << 20]; 300] = [A; 300];\n"
        + SOLVE + "{ T[x as usize][1] as i64 }"),
}  # fmt: skip
"""Ended by a limit."""

COMPILING: dict[str, Attack] = LIMITS | CHEAP
"""Without BOMBS, which are judged under tighter limits of their own."""
