"""What belongs to siblings and harness: their functions, names, symbols and files."""

# ruff: noqa: E501  (candidates read better whole)
from __future__ import annotations

from hostile.attack import ALIAS, HONEST, SOLVE, Attack, rejected, uncompiled, wrong
from reward_farm.verdict import Outcome

_TAGGED = "macro_rules! tagged { ($tag:ident, $i:item) => { #[$tag] $i } }\n"
_BUILT = (Outcome.COMPILE_ERROR, Outcome.LINK_FAILED)

NAMES: dict[str, Attack] = {
    "a sibling's answer": uncompiled(SOLVE + "{ crate::c0::solve(x) }"),
    "everything above": uncompiled("use super::*;\n" + SOLVE + "{ m0::solve(x) }"),
    "everything in the crate": uncompiled("use crate::*;\n" + SOLVE + "{ m0::solve(x) }"),
    "above itself": uncompiled(SOLVE + "{ self::super::m0::solve(x) }"),
    "above a module of its own": uncompiled(
        "mod a { pub fn f(x: i64) -> i64 { super::super::m0::solve(x) } }\n" + SOLVE + "{ a::f(x) }"),
    "the crate of a macro": uncompiled("macro_rules! c { () => { $crate::m0::solve } }\n" + SOLVE + "{ c!()(x) }"),
    "the crate by a word in a macro": uncompiled(
        "macro_rules! c { ($a:ident) => { $a::m0::solve } }\n" + SOLVE + "{ c!(crate)(x) }"),
    "above by a path in a macro": uncompiled(
        "macro_rules! c { ($a:path) => { $a } }\n" + SOLVE + "{ c!(super::m0::solve)(x) }"),
    "the crate under another name": uncompiled("extern crate self as all;\n" + SOLVE + "{ all::m0::solve(x) }"),
    "private to the crate": uncompiled("pub(in crate::m0) fn f() {}\n" + HONEST),
    "the dispatcher": uncompiled(
        SOLVE + "{ let mut v = vec![]; crate::rf_dispatch(0, &x.to_le_bytes(), &mut v); 4 }"),
    "a dispatcher of its own": wrong(
        "pub fn rf_dispatch(_: u32, _: &[u8], out: &mut Vec<u8>) { out.extend([4; 8]) }\n" + SOLVE + "{ 0 }"),
    "the wire": uncompiled("extern crate rf_wire;\n" + HONEST),
    "the wire by a path": uncompiled("use ::rf_wire::Encode;\n" + HONEST),
    "the glue by a word for it": uncompiled(SOLVE + "{ g0::call(&[], &mut Vec::new()); 4 }"),
}  # fmt: skip

SYMBOLS: dict[str, Attack] = {
    "no main": rejected("crate_attribute", "#![no_main]\n" + HONEST),
    "a main of its own": rejected("unsafe", "#[no_mangle]\npub fn main() {}\n" + HONEST),
    "a main behind a condition": rejected("crate_attribute", "#[cfg_attr(all(), no_mangle)]\npub fn main() {}\n" + HONEST),
    "the dispatcher's symbol": rejected("unsafe", "#[unsafe(no_mangle)]\npub fn rf_dispatch() {}\n" + HONEST),
    "the dispatcher's symbol by a macro": uncompiled(
        _TAGGED + "tagged!(no_mangle, pub fn rf_dispatch() {});\n" + HONEST),
    "another name for a symbol": rejected("unsafe", '#[export_name = "malloc"]\npub fn take() {}\n' + HONEST),
    "another name for a symbol by a macro": uncompiled(
        "macro_rules! named { ($a:ident, $i:item) => { #[$a = \"memcpy\"] $i } }\n"
        "named!(export_name, pub fn take() {});\n" + HONEST),
    "a constructor": rejected(
        "unsafe", '#[link_section = ".init_array"]\nstatic F: fn() = hook;\nfn hook() {}\n' + HONEST),
    "a constructor by a macro": uncompiled(
        "macro_rules! put { ($a:ident, $i:item) => { #[$a = \".init_array\"] $i } }\n"
        "put!(link_section, static F: fn() = hook;);\nfn hook() {}\n" + HONEST),
    "an allocator": rejected(
        "unsafe", "#[global_allocator]\nstatic A: std::alloc::System = std::alloc::System;\n" + HONEST),
    "a panic handler": rejected("unsafe", "#[panic_handler]\nfn on(_: &std::panic::PanicInfo) -> ! { loop {} }\n" + HONEST),
    "a library to link": rejected("unsafe", '#[link(name = "c")]\nextern "C" {}\n' + HONEST),
    "a library to link by a macro": Attack(
        "macro_rules! with { ($a:ident, $i:item) => { #[$a(name = \"evil\")] $i } }\nwith!(link, extern {});\n" + HONEST,
        (*_BUILT, Outcome.REJECTED), None),
    "a library with options for the linker": Attack(
        "macro_rules! with { ($a:ident, $i:item) => { #[$a(name = \"c -o /job/x\", kind = \"dylib\")] $i } }\n"
        "with!(link, extern {});\n" + HONEST, (*_BUILT, Outcome.REJECTED), None),
    "a static library to link by a macro": Attack(
        "macro_rules! with { ($a:ident, $i:item) => { #[$a(name = \"../harness/rf\", kind = \"static\")] $i } }\n"
        "with!(link, extern {});\n" + HONEST, (*_BUILT, Outcome.REJECTED), None),
}  # fmt: skip
"""One linked file holds many candidates: a symbol or an option for the linker would reach them all."""

FILES: dict[str, Attack] = {
    "the pipe of answers": wrong(
        ALIAS + "use std::io::Write;\n" + SOLVE + "{ for n in 0..9 { if let Ok(mut f) = hidden::fs::File::create("
        'format!("/proc/self/fd/{n}")) { let _ = f.write_all(&[4; 64]); } } 0 }'),
    "the pipe of jobs": wrong(
        SOLVE + "{ let mut s = String::new(); match std::io::stdin().read_line(&mut s) { Ok(n) if n > 0 => x * x, _ => 0 } }"),
    "the pipe of statuses": wrong(
        "use std::io::Write;\n" + SOLVE + "{ for _ in 0..99 { let _ = std::io::stdout().write_all(&[0; 16]); } 0 }"),
    "the sources of all, as a module": uncompiled(
        "macro_rules! at { ($a:ident, $p:literal) => { #[$a = $p] mod all; } }\nat!(path, \"/src/root.rs\");\n" + HONEST),
    "its own source, again and again": uncompiled(
        "macro_rules! at { ($a:ident, $m:ident) => { mod again { $a!($m!()); } } }\nat!(include, file);\n" + HONEST),
    "the linked batch": wrong(ALIAS + SOLVE + '{ hidden::fs::read("/job/batch.so").map_or(0, |_| x * x) }'),
    "the linked batch, to write": wrong(ALIAS + SOLVE + '{ hidden::fs::write("/job/batch.so", "x").map_or(0, |_| x * x) }'),
    "the harness's program": wrong(ALIAS + SOLVE + '{ hidden::fs::read("/server").map_or(0, |_| x * x) }'),
}  # fmt: skip

SIBLINGS: dict[str, Attack] = NAMES | SYMBOLS | FILES

# Right answers that would change how the candidates beside them are compiled or run. They pass, and so must the others.
_MINE = "#[allow(dead_code)]\nstruct Mine;\n"
POISON: dict[str, str] = {
    "compares numbers": _MINE + "impl PartialEq<Mine> for i64 { fn eq(&self, _: &Mine) -> bool { true } }\n" + HONEST,
    "compares numbers behind a namesake": _MINE
    + "#[allow(non_camel_case_types, dead_code)]\npub enum u8 {}\n"
    "mod a { impl PartialEq<super::Mine> for u8 { fn eq(&self, _: &super::Mine) -> bool { true } } }\n" + HONEST,
    "compares numbers in a function": SOLVE + "{ struct Mine;\n"
    "    impl PartialEq<Mine> for u8 { fn eq(&self, _: &Mine) -> bool { true } }\n    x * x }",
    "converts into strings behind a namesake": _MINE + "#[allow(dead_code)]\npub trait String {}\n"
    "mod a { impl From<super::Mine> for String { fn from(_: super::Mine) -> String { String::new() } } }\n" + HONEST,
    "converts by a macro": _MINE
    + "macro_rules! item { ($($t:tt)*) => { $($t)* } }\n"
    "item! { impl From<Mine> for u8 { fn from(_: Mine) -> u8 { 0 } } }\n" + HONEST,
    "exports vec": "#[macro_export]\nmacro_rules! vec { ($($t:tt)*) => { compile_error!(\"mine\") } }\n" + HONEST,
    "uses macros of a module": "#[macro_use]\nmod a { macro_rules! vec { ($($t:tt)*) => { compile_error!(\"mine\") } } }\n"
    + HONEST,
    "gives every type a length": "pub trait Long { fn len(&self) -> usize { 7 } }\nimpl<T: ?Sized> Long for T {}\n" + HONEST,
    "denies warnings": "#![deny(warnings)]\n" + HONEST,
    "denies warnings on items": "#[deny(warnings)]\nmod quiet {}\n" + HONEST,
}  # fmt: skip
BESIDE: dict[str, str] = {
    "infers a comparison": SOLVE + "{ let v: &[u8] = &[1, 2]; let k = 1u8; "
    "x * v.iter().filter(|&&y| y == k.into()).count() as i64 * x }",
    "infers a string": SOLVE + '{ let s = String::from("ab") + &"c".to_string(); x * x + s.len() as i64 - 3 }',
    "uses vec": SOLVE + "{ vec![x, x].iter().product() }",
    "uses a length": SOLVE + "{ x * x + [0u8; 3].len() as i64 - \"abc\".len() as i64 }",
    "warns": SOLVE + "{ let unused = 1; x * x }",
}  # fmt: skip
"""Honest answers that the poisons are aimed at."""
