"""The parts without processes: wire, gate, style and points."""

from __future__ import annotations

import math
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reward_farm.errors import BadValue, UnsupportedType
from reward_farm.gate import Moved, Parsed, Refused, examine
from reward_farm.problem import Err, Ok
from reward_farm.reward import reward
from reward_farm.rust_type import INTEGERS, RustType, parse_type
from reward_farm.settings import RewardWeights
from reward_farm.syntax import measure
from reward_farm.verdict import CaseResult, Outcome, SyntaxMetrics
from reward_farm.wire import BadFrame, decode, encode, same

SOLVE = "pub fn solve(x: i64) -> i64 { x }\n"


def values(kind: RustType) -> st.SearchStrategy[object]:
    name = kind.name
    if name in INTEGERS:
        bits, signed = INTEGERS[name]
        low = -(1 << (bits - 1)) if signed else 0
        return st.integers(low, low + (1 << bits) - 1)
    inner = [values(arg) for arg in kind.args]
    scalars = {
        "bool": st.booleans(),
        "f64": st.floats(),
        "char": st.characters(exclude_categories=["Cs"]),
        "String": st.text(st.characters(exclude_categories=["Cs"])),
        "Ordering": st.sampled_from([-1, 0, 1]),
    }
    if name in scalars:
        return scalars[name]
    if name == "Option":
        return st.none() | inner[0]
    if name == "Result":
        return inner[0].map(Ok) | inner[1].map(Err)
    if name == "tuple":
        return st.tuples(*inner)
    if name == "BTreeMap":
        return st.dictionaries(inner[0], inner[1], max_size=5)
    return st.lists(inner[0], max_size=5)


TYPES = [
    "i8", "u128", "isize", "f64", "bool", "char", "String", "Vec<(String, Option<u8>)>", "&[Vec<f64>]", "Ordering",
    "Result<Vec<i32>, String>", "BTreeMap<String, (i64, char)>", "Option<Result<u16, ()>>",
]  # fmt: skip


@given(st.data(), st.sampled_from(TYPES))
def test_a_value_comes_back_from_the_wire(data: st.DataObject, text: str) -> None:
    kind = parse_type(text)
    bare = kind.args[0] if kind.name == "ref" else kind
    value = data.draw(values(bare))
    assert same(kind, value, decode(kind, encode(kind, value)))  # type: ignore[arg-type]


@given(st.binary(max_size=200), st.sampled_from([*TYPES, "Vec<()>", "Vec<Vec<()>>"]))
def test_hostile_bytes_are_a_value_or_no_value(frame: bytes, text: str) -> None:
    try:
        value = decode(parse_type(text), frame)
    except BadFrame:
        return
    assert sys.getsizeof(value) < 100_000


def test_answers_are_compared_by_type() -> None:
    f64, ordered = parse_type("f64"), parse_type("Vec<i32>")
    assert same(f64, 1.0, 1.0 + 5e-7)
    assert not same(f64, 1.0, 1.0 + 5e-6)
    assert same(f64, math.inf, math.inf)
    assert not same(f64, math.inf, 1e308)
    assert not same(f64, 1.0, math.nan)
    assert not same(ordered, [1, 2], [2, 1])
    assert same(parse_type("HashSet<i32>"), [2, 1], [1, 2])
    assert not same(parse_type("Result<i32, i32>"), Ok(1), Err(1))
    assert not same(parse_type("Option<i32>"), None, 0)
    assert same(parse_type("HashMap<i32, f64>"), {1: 0.1, 2: 0.2}, {2: 0.2, 1: 0.1 + 1e-12})


def test_types_are_written_as_trusted_code_needs_them() -> None:
    assert str(parse_type("&'a [std::collections::HashMap<&'static str, (u8,)>]")) == (
        "&[::std::collections::HashMap<&str, (u8, )>]"
    )
    for text in ("Vec", "Vec<i32, i32>", "dyn Error", "Box<dyn Error>", "fn(i32)", "[i32; N]", "i32)", "", "(i32)"):
        with pytest.raises(UnsupportedType):
            parse_type(text)
    with pytest.raises(BadValue):
        encode(parse_type("bool"), 1)


@pytest.mark.parametrize(
    ("source", "alone"),
    [
        ("mod tests { use super::*; }", False),
        ("mod a { pub mod b { use super::super::c; } }", True),
        ("use super::*;", True),
        ("pub(crate) fn helper() {}", False),
        ("fn helper() { crate::solve(1); }", True),
        ("macro_rules! m { () => { $crate::solve(1) } }", True),
        ("struct V; impl std::fmt::Display for V {}", False),
        ("struct V; impl std::ops::Add<V> for f64 {}", True),
        ("trait Mine {} impl Mine for f64 {}", False),
        ("impl<T> From<T> for String {}", True),
        ("macro_rules! m { () => { impl Iterator for X {} } }", True),
        ("#[macro_export] macro_rules! m { () => {} }", True),
        ("#![warn(missing_docs)]", True),
        ("extern crate std as other;", True),
        ("fn na\u00efve() {}", True),
        ('fn f() { println!("\u00e9"); } // \u00f1', False),
        ("macro_rules! m { ($a:ident) => { #[$a] fn f() {} } }", True),
        ("macro_rules! m { ($a:tt) => { # $a fn f() {} } }", True),
        ("macro_rules! m { () => { #[derive(Debug)] struct X; } }", False),
        ("macro_rules! m { ($m:ident) => { $m!() } }", True),
        ("macro_rules! m { ($t:tt) => {} } m!(include_str);", True),
        ('fn f(path: &str, env: u8, used: u8) { println!("{} {} {}", path, env, used) }', False),
    ],
)
def test_who_could_reach_a_sibling_is_compiled_alone(source: str, alone: bool) -> None:
    looked = examine(f"{source}\n{SOLVE}", "solve", 10_000)
    assert isinstance(looked, Parsed)
    assert looked.alone is alone


def test_the_gate_publishes_the_entry_function_only() -> None:
    looked = examine("fn other() {}\n    async fn solve() {}\n", "solve", 10_000)
    assert isinstance(looked, Parsed)
    assert looked.source == "fn other() {}\n    pub async fn solve() {}\n"
    assert looked.published == (Moved(2, 5, 4, 4),)
    looked = examine("/// d\npub(crate) fn solve() {}", "solve", 10_000)
    assert isinstance(looked, Parsed)
    assert looked.source == "/// d\npub fn solve() {}"
    assert looked.published == (Moved(2, 1, 3, -7),)


def test_places_are_those_of_the_text_as_it_was() -> None:
    looked = examine("let é = 1; fn main() {} pub(crate) fn solve() { é }", "solve", 10_000)
    assert isinstance(looked, Parsed)
    before, after = looked.source, "let é = 1; fn main() {} pub(crate) fn solve() { é }"
    assert before == "let é = 1; pub fn main() {} pub fn solve() { é }"
    for word in ("let", "main", "solve", "é }"):
        column = before.index(word) + 1
        for moved in looked.published:
            column = moved.back(1, column)
        assert column == after.index(word) + 1


def test_a_syntax_error_names_its_place() -> None:
    looked = examine("pub fn solve() {\n    let x = ;\n}\n", "solve", 10_000)
    assert isinstance(looked, Refused)
    assert looked.outcome is Outcome.PARSE_ERROR
    assert looked.diagnostics[0].line == 2


def metrics_of(source: str) -> SyntaxMetrics:
    looked = examine(source, "solve", 10_000)
    assert isinstance(looked, Parsed)
    return measure(looked.root, looked.entry)


def test_style_is_measured_on_what_the_entry_function_reaches() -> None:
    metrics = metrics_of(
        "/// Doubles.\n#[inline]\npub fn solve(v: &[i32]) -> Option<i32> {\n"
        "    for x in v { if *x > 1 && *x < 5 { return helper(*x).checked_mul(2); } }\n    None\n}\n"
        "fn helper(x: i32) -> i32 { match x { 1 => 2, 2 => 3, n => n.checked_add(1).unwrap() } }\n"
        "/// Never called.\nfn dead() { let f = |x: i32| x; todo!() }\n"
    )
    assert (metrics.functions, metrics.documented_functions) == (2, 1)
    assert metrics.returns_result_or_option
    assert not metrics.uses_iterators_or_closures
    assert metrics.panicking_calls == 1
    assert metrics.cyclomatic_complexity == pytest.approx((4 + 3) / 2)
    assert metrics.max_nesting == 2


def test_points_never_pay_style_for_wrong_code() -> None:
    weights, metrics = RewardWeights(), metrics_of("/// Doc.\n" + SOLVE)
    best = [CaseResult("passed")] * 4

    def total(outcome: Outcome, cases: list[CaseResult], warnings: int = 0) -> float:
        return reward(outcome, cases, 4, warnings, metrics, weights).total

    ladder = [
        total(Outcome.REJECTED, []),
        total(Outcome.COMPILE_ERROR, []),
        total(Outcome.LINK_FAILED, []),
        *(total(Outcome.TEST_FAILED, best[:passed] + [CaseResult("failed")] * (4 - passed)) for passed in (1, 2, 3)),
        total(Outcome.PASSED, best),
    ]
    assert ladder == sorted(ladder)
    assert ladder[0] == 0.0
    assert ladder[-1] == pytest.approx(30.0)
    assert ladder[-1] - ladder[-2] > 10.0, "the last case is worth most"
    assert total(Outcome.PASSED, best, 9) == pytest.approx(29.0)
    assert total(Outcome.TEST_TIMEOUT, best[:1]) == pytest.approx(11 + 2)
