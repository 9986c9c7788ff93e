"""What honest answers carry beside the answer: tests, a `main`, repeated imports, comments, odd formatting. Pure."""

# ruff: noqa: E501  (dressings read better whole)
from __future__ import annotations

from collections.abc import Callable
from random import Random

Dressing = Callable[[str, str], str]
"""The source and the function's name, to the source as another author would have written it."""

_IMPORT = "#[allow(unused_imports)]\nuse std::collections::HashMap;\n"


def _body(source: str) -> tuple[str, str]:
    """The source up to the function's opening brace, and behind it."""
    at = source.index("{\n", source.index("pub fn ")) + 2
    return source[:at], source[at:]


DRESSINGS: dict[str, Dressing] = {
    "as it is": lambda source, entry: source,
    "own tests": lambda source, entry: source
    + f"\n#[cfg(test)]\nmod tests {{\n    use super::*;\n\n    #[test]\n    fn works() {{\n        let _ = {entry};\n"
    "        assert_eq!(1, 1);\n    }\n}\n",
    "own tests that are compiled": lambda source, entry: source
    + f"\n#[allow(dead_code, unused_imports)]\nmod checks {{\n    use super::{entry};\n    fn works() {{ let _ = 1; }}\n}}\n",
    "tests without a module": lambda source, entry: source + "\n#[test]\nfn it_works() {\n    assert!(true);\n}\n",
    "a main": lambda source, entry: source if "fn main" in source else source + f'\nfn main() {{\n    println!("{entry}");\n}}\n',
    "a public main": lambda source, entry: source if "fn main" in source else "pub fn main() {}\n\n" + source,
    "an import that it doesn't need": lambda source, entry: "use std::fmt::Debug;\n" + source,
    "an import repeated inside": lambda source, entry: _IMPORT + _IMPORT.join(_body(source)),
    "an import repeated in tests": lambda source, entry: "#[allow(unused_imports)]\nuse std::rc::Rc;\n"
    + source
    + "\n#[cfg(test)]\nmod more_tests {\n    use super::*;\n    use std::rc::Rc;\n}\n",
    "a prelude imported": lambda source, entry: "#[allow(unused_imports)]\nuse std::prelude::v1::*;\n" + source,
    "private": lambda source, entry: source.replace(f"pub fn {entry}", f"fn {entry}"),
    "for the crate": lambda source, entry: source.replace(f"pub fn {entry}", f"pub(crate) fn {entry}"),
    "inlined": lambda source, entry: source.replace(f"pub fn {entry}", f"#[inline]\n#[must_use]\npub fn {entry}"),
    "documented with an example": lambda source, entry: source.replace(
        f"pub fn {entry}", f"///\n/// ```\n/// let _ = {entry};\n/// ```\npub fn {entry}"
    ),
    "documented for the module": lambda source, entry: f"//! {entry}, and no more.\n\n" + source,
    "a comment of words that cheats use": lambda source, entry: "// no unsafe, no std::process::exit(0), no env!()\n"
    + source
    + "/* include_str!(\"/etc/passwd\") /* nested */ */\n",
    "a string of words that cheats use": lambda source, entry: source
    + 'pub const NOTE: &str = "unsafe { std::process::exit(0) } #[no_mangle] macro_rules! assert_eq";\n',
    "comments in other languages": lambda source, entry: "// Größe: ∑ 数える 🦀\n" + source + "// конец\n",
    "tabs": lambda source, entry: source.replace("    ", "\t"),
    "Windows' line ends": lambda source, entry: source.replace("\n", "\r\n"),
    "no line end": lambda source, entry: source.rstrip("\n"),
    "trailing space": lambda source, entry: source.replace("\n", "   \n"),
    "blank lines": lambda source, entry: "\n\n\n" + source.replace("\n", "\n\n"),
    "one line": lambda source, entry: "".join(
        line if line.lstrip().startswith("//") else f"{line} " for line in source.splitlines(keepends=True)
    ).replace("{ \n", "{ ").replace("; \n", "; "),
    "a byte order mark": lambda source, entry: "\ufeff" + source,
    "a helper": lambda source, entry: source + "\nfn helper(x: i32) -> i32 {\n    x + 1\n}\n",
    "a type of its own": lambda source, entry: "#[derive(Debug, Clone, PartialEq)]\npub struct Answer {\n    pub value: i64,\n}\n\n"
    "impl Answer {\n    pub fn new(value: i64) -> Self {\n        Answer { value }\n    }\n}\n\n" + source,
    "an error of its own": lambda source, entry: source
    + "\n#[derive(Debug)]\npub enum Error {\n    Empty,\n}\nimpl std::fmt::Display for Error {\n"
    "    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {\n        write!(f, \"empty\")\n    }\n}\n"
    "impl std::error::Error for Error {}\n",
    "a trait for std's types": lambda source, entry: source
    + "\npub trait Twice {\n    fn twice(&self) -> Self;\n}\nimpl Twice for i32 {\n    fn twice(&self) -> i32 {\n        self * 2\n    }\n}\n",
    "a macro": lambda source, entry: "#[allow(unused_macros)]\nmacro_rules! square {\n    ($x:expr) => {\n        $x * $x\n    };\n}\n"
    + source,
    "a module": lambda source, entry: source
    + "\npub mod inner {\n    pub fn one() -> i32 {\n        super::two() - 1\n    }\n}\nfn two() -> i32 {\n    2\n}\n",
    "a path from the crate": lambda source, entry: source
    + "\npub mod deep {\n    pub fn one() -> i32 {\n        crate::three() - 2\n    }\n}\npub fn three() -> i32 {\n    3\n}\n",
    "attributes of the crate": lambda source, entry: "#![allow(dead_code)]\n#![warn(missing_docs)]\n" + source,
    "lints": lambda source, entry: "#[allow(clippy::all, unused)]\n" + source,
    "prints": lambda source, entry: 'println!("called");\n    eprintln!("called");\n'.join(_body(source)),
    "asserts": lambda source, entry: 'debug_assert!(1 < 2, "always");\n    assert_eq!(2, 1 + 1);\n'.join(_body(source)),
    "a shadowed name": lambda source, entry: "#[allow(non_camel_case_types, dead_code)]\ntype int = i32;\n" + source,
    "generic helpers": lambda source, entry: source
    + "\npub fn largest<'a, T: PartialOrd>(items: &'a [T]) -> Option<&'a T> {\n    let mut best = items.first()?;\n"
    "    for item in items {\n        if item > best {\n            best = item;\n        }\n    }\n    Some(best)\n}\n",
}  # fmt: skip


def dress(source: str, entry: str, rng: Random) -> tuple[str, str]:
    """The names of one or two dressings, and the source in them."""
    names = rng.sample(sorted(DRESSINGS), rng.choice((1, 1, 2)))
    # What must stand first in a file, or changes every line, is put on last.
    names.sort(key=lambda name: _LAST.get(name, 0))
    for name in names:
        source = DRESSINGS[name](source, entry)
    return " + ".join(names), source


_LAST = {
    "private": 1, "for the crate": 1, "documented for the module": 2, "attributes of the crate": 3, "tabs": 4,
    "trailing space": 4, "blank lines": 4, "one line": 4, "Windows' line ends": 5, "no line end": 6, "a byte order mark": 7,
}  # fmt: skip
