"""Writes the crate that a batch is compiled as: candidates as modules, and trusted glue that calls them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from reward_farm.exam import is_typed, prepare
from reward_farm.problem import Problem
from reward_farm.rust_type import parse_type


class _Candidate(Protocol):
    @property
    def source(self) -> str: ...
    @property
    def problem(self) -> Problem: ...
    @property
    def alone(self) -> bool: ...


def write_crate(folder: Path, batch: Sequence[_Candidate], token: str) -> None:
    """`root.rs`, a file for each candidate, and its glue where it has cases; and an empty folder `out` beside `folder`.

    Names hold the token, so no candidate can name a sibling, its glue or the wire.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder.parent / "out").mkdir(exist_ok=True)
    root, arms = [], []
    for place, candidate in enumerate(batch):
        name = f"{token}_{place:02}"  # of one length, for a candidate can see it by `module_path!`
        (folder / f"c{name}.rs").write_text(candidate.source, encoding="utf-8")
        # `forbid` here and not on the command line: the root itself exports a symbol.
        module = f'#[forbid(unsafe_code)] #[path = "c{name}.rs"] pub mod m{name};'
        root.append(f"extern crate m{name};" if candidate.alone else module)
        if candidate.problem.runs:
            root.append(f'#[path = "g{name}.rs"] mod g{name};')
            arms.append(f"{place} => g{name}::rf_call(input, out),")
            glue = _asserting if candidate.problem.assertions else _answering
            (folder / f"g{name}.rs").write_text(glue(candidate.problem, token, name), encoding="utf-8")
    if arms:
        root += [
            "#[unsafe(no_mangle)]",
            "pub fn rf_dispatch(index: u32, input: &[u8], out: &mut ::std::vec::Vec<u8>) {",
            f"    match index {{ {' '.join(arms)} _ => ::std::process::abort() }}",
            "}",
        ]
    (folder / "root.rs").write_text("\n".join(root) + "\n", encoding="utf-8")


def _answering(problem: Problem, token: str, name: str) -> str:
    """Pins the function's types: a return type that merely compares equal to anything is a type error here."""
    reads = "".join(
        f"    let a{n}: {parse_type(kind)} = ::w{token}::Decode::decode(&mut input);\n"
        for n, kind in enumerate(problem.params)
    )
    arguments = ", ".join(f"a{n}" for n in range(len(problem.params)))
    return f"""#[allow(unused)]
pub fn rf_call(input: &[u8], out: &mut ::std::vec::Vec<u8>) {{
    let mut input = ::w{token}::Input(input);
{reads}    let got: {parse_type(problem.returns)} = crate::m{name}::{problem.entry}({arguments});
    ::w{token}::Encode::encode(&got, out);
}}
"""


def _asserting(problem: Problem, token: str, name: str) -> str:
    """Says `true` if the assertions return. What they call is the function behind its pinned types, where those are
    known; nothing else of the candidate's is in their scope, so that none of its names or macros can stand for std's.
    """
    if is_typed(problem):
        # One lifetime for all: an answer may borrow from any argument.
        kinds = [str(parse_type(kind)).replace("&", "&'a ") for kind in problem.params]
        returns = str(parse_type(problem.returns)).replace("&", "&'a ")
        params = ", ".join(f"a{n}: {kind}" for n, kind in enumerate(kinds))
        arguments = ", ".join(f"a{n}" for n in range(len(kinds)))
        function = f"fn {problem.entry}<'a>({params}) -> {returns} {{ crate::m{name}::{problem.entry}({arguments}) }}"
    else:
        function = f"use crate::m{name}::{problem.entry};"
    return f"""#![allow(warnings)]
{function}
static RF_CONTROL: ::std::sync::atomic::AtomicU32 = ::std::sync::atomic::AtomicU32::new(0);
fn rf_control() -> u32 {{ RF_CONTROL.load(::std::sync::atomic::Ordering::Relaxed) }}
fn rf_std<T: ::w{token}::Encode + ?Sized>(value: &T) -> &T {{ value }}
fn rf_assertions() {{
{prepare(problem).statements}
}}
pub fn rf_call(input: &[u8], out: &mut ::std::vec::Vec<u8>) {{
    let mut input = ::w{token}::Input(input);
    let control = ::w{token}::Decode::decode(&mut input);
    RF_CONTROL.store(control, ::std::sync::atomic::Ordering::Relaxed);
    rf_assertions();
    ::w{token}::Encode::encode(&true, out);
}}
"""
