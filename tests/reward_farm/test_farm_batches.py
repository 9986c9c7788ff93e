"""A verdict doesn't depend on who was compiled beside the candidate, nor on whether the text was seen before."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from reward_farm.judge import Judge
from reward_farm.problem import Case, Problem, Submission
from reward_farm.settings import FarmSettings
from reward_farm.verdict import InfraFault, Outcome, Scored

COUNT = Problem("count", ("&[i32]", "i32"), "usize", (Case(([1, 2, 1], 1), 2), Case(([], 5), 0)))
# ruff: noqa: E501  (one candidate a line)
BODY = "pub fn count(v: &[i32], x: i32) -> usize {{ {} }}\n"
FINE = [
    BODY.format("v.iter().filter(|&&y| y == x).count()"),
    BODY.format("let mut n = 0; for y in v { if *y == x { n += 1; } } n"),
    BODY.format("v.iter().map(|y| (*y == x) as usize).sum()"),
    BODY.format("v.iter().fold(0, |n, y| if *y == x { n + 1 } else { n })"),
    BODY.format("count_from(v, x, 0)") + "fn count_from(v: &[i32], x: i32, n: usize) -> usize "
    "{ match v { [] => n, [y, rest @ ..] => count_from(rest, x, n + (*y == x) as usize) } }\n",
    "use std::collections::HashMap;\n"
    + BODY.format("let mut m = HashMap::new(); for y in v { *m.entry(y).or_insert(0) += 1; } m.get(&x).map_or(0, |n| *n)"),
    # Helpers of one name in many candidates, and a parse whose type only inference gives.
    "struct Tally(usize);\nimpl Tally { fn add(&mut self) { self.0 += 1; } }\n"
    + BODY.format("let mut t = Tally(0); for y in v { if *y == x { t.add(); } } t.0"),
    "trait Same { fn same(&self, x: i32) -> bool; }\nimpl Same for i32 { fn same(&self, x: i32) -> bool { *self == x } }\n"
    + BODY.format("v.iter().filter(|y| y.same(x)).count()"),
    BODY.format('let one: usize = "1".parse().unwrap(); v.iter().filter(|&&y| y == x).count() * one'),
    BODY.format("v.iter().filter(|&&y| i64::from(y) == x.into()).count()"),
    "macro_rules! is { ($a:expr, $b:expr) => { $a == $b } }\n" + BODY.format("v.iter().filter(|y| is!(**y, x)).count()"),
]  # fmt: skip
POISON = [
    "struct Mine;\nimpl PartialEq<Mine> for i64 { fn eq(&self, _: &Mine) -> bool { true } }\n" + FINE[0],
    "struct Mine;\nimpl From<Mine> for i64 { fn from(_: Mine) -> i64 { 0 } }\n" + FINE[0],
    "struct Mine;\nimpl std::ops::Mul<Mine> for usize { type Output = usize; fn mul(self, _: Mine) -> usize { 0 } }\n" + FINE[0],
    "#[macro_export]\nmacro_rules! is { ($a:expr, $b:expr) => { false } }\n" + FINE[0],
    "#![allow(warnings)]\n" + FINE[0] + "fn unused() {}\n",
]  # fmt: skip
WARNED = [
    FINE[0] + "fn unused() {}\n",
    BODY.format("let mut n = v.len(); let z = 1; v.iter().filter(|&&y| y == x).count()"),
    BODY.format("if (x == 1) { 2 } else { 0 }"),
    "use std::collections::BTreeMap;\n" + FINE[1],
    BODY.format("return v.iter().filter(|&&y| y == x).count(); 0"),
]
BROKEN = [
    BODY.format(body)
    for body in (
        "missing(v, x)", "v.iter().filter(|y| y == x).count()", "let w = v.to_vec(); drop(w); w.len()", "nothing!()", "\"a\"",
        "let n: usize; n", "match x { 1 => 2 }", "v.iter().nothing()", "v.len() + x", "let r; { let z = 1; r = &z; } *r",
        "let a = 300u8; a as usize", "[1usize, 2][5]", "255u8 as usize + (255u8 + 1) as usize",
        "const K: usize = [1, 2][3]; K", "std::nothing::at_all()", "x.into()", "let v2 = v; v2.push(x); 0",
    )
] + ["use std::nothing::Here;\n" + FINE[0], "pub fn count(v: &str, x: i32) -> usize { v.len() }\n",
     "fn nothing() -> &str { \"\" }\n" + FINE[0], "struct S<'a>(&str);\n" + FINE[0],
     "pub fn count(v: &[i32], x: i32) -> usize { 0 }\n" + FINE[0], BODY.format("v.len(); unclosed("), "struct S;\n"]  # fmt: skip


LATE = [
    BODY.format(body)
    for body in (
        "let a = 300u8; (255u8 + 1) as usize + a as usize", "#[deny(unused_variables)] fn f() { let a = 1; } f(); v.len()",
        "#[deny(unused_variables)] fn f() { let a = 1; } #[deny(dead_code)] fn g() {} f(); v.len()",
        "#[deny(dead_code)] fn g() {} v.len()", "v.len() << 70", "v.len() / 0", "const { assert!(1 > 2) }; v.len()",
    )
]  # fmt: skip
"""Denied by lints, some of which rustc leaves out where anything else in the crate is wrong."""
FOREIGN = [
    FINE[0] + "pub fn \u0441ount(v: &[i32]) -> usize { v.len() }\n",
    FINE[0] + "pub fn gro\u0308\u00dfe(\u0430\u0441: usize) -> usize { \u0430\u0441 }\n",
    FINE[0] + "pub fn \u0447\u0438\u0441\u043b\u043e() {}\n",
]
"""Names that look like others, which rustc warns of by all the names of a crate."""
PROGRAMS = [
    FINE[0] + 'fn main() {\n    println!("{}", count(&[1], 1) + helper());\n}\nfn helper() -> usize {\n    0\n}\n',
    'fn main() { println!("{}", count(&[1], 1)) } ' + BODY.format("let z = 1; v.iter().filter(|&&y| y == x).count()"),
]  # fmt: skip


def _submissions() -> list[Submission]:
    mixed = [source for row in zip(FINE * 3, BROKEN, strict=False) for source in row][::-1] + POISON + WARNED
    mixed += LATE + FOREIGN + PROGRAMS
    return [Submission(str(number), source, COUNT) for number, source in enumerate(dict.fromkeys(mixed))]


def _shape(verdict: object) -> object:
    assert isinstance(verdict, Scored), verdict
    codes = sorted(
        (
            found.level,
            found.code or found.message,
            found.line,
            found.column,
            found.end_line,
            found.end_column,
            found.label,
        )
        for found in verdict.diagnostics
    )
    return verdict.outcome, verdict.stage, codes, verdict.cases, verdict.reward


def test_a_batch_says_of_each_what_a_run_of_its_own_says(judge: Judge, settings: FarmSettings) -> None:
    submissions = _submissions()
    assert len(submissions) >= 40
    together = [_shape(verdict) for verdict in judge.judge(submissions)]
    with Judge(settings.model_copy(update={"max_batch": 1})) as single:
        alone = [_shape(verdict) for verdict in single.judge(submissions)]
    differ = {s.source: (one, two) for s, one, two in zip(submissions, together, alone, strict=True) if one != two}
    assert not differ


@pytest.mark.nightly
@pytest.mark.timeout(1800)
def test_each_pair_is_judged_as_its_members_are_alone(settings: FarmSettings) -> None:
    """Nothing that one of two does to the compiler changes what it says of the other."""
    kinds = [
        Submission(f"{n}", source, COUNT) for n, source in enumerate(BROKEN + LATE + WARNED + POISON[:2] + FINE[:2])
    ]
    with Judge(settings.model_copy(update={"max_batch": 1})) as single:
        alone = {verdict.id: _shape(verdict) for verdict in single.judge(kinds)}
    differ = []
    with Judge(settings.model_copy(update={"max_batch": 2})) as paired:
        for pair in itertools.combinations(kinds, 2):
            verdicts = zip(pair, paired.judge(pair), strict=True)
            differ += [(each.source, pair) for each, verdict in verdicts if _shape(verdict) != alone[each.id]]
    assert not differ


def test_a_programs_main_is_no_fault(judge_all: Callable[..., dict[str, Scored]]) -> None:
    first, second = judge_all({source: (source, COUNT) for source in PROGRAMS}).values()
    assert first.passed
    assert first.diagnostics == ()
    assert second.passed
    [warning] = second.diagnostics
    assert (warning.code, PROGRAMS[1][warning.column - 1 : warning.end_column - 1]) == ("unused_variables", "z")


def test_expected_outcomes_in_a_mixed_batch(judge_all: Callable[..., dict[str, Scored]]) -> None:
    candidates = {source: (source, COUNT) for source in FINE + POISON + WARNED + BROKEN + LATE + FOREIGN}
    verdicts = judge_all(candidates)
    for source in FINE + POISON:
        assert verdicts[source].outcome is Outcome.PASSED, (source, verdicts[source].diagnostics)
    assert all(verdicts[source].passed for source in FOREIGN)
    assert {verdicts[source].outcome for source in LATE} <= {Outcome.COMPILE_ERROR, Outcome.LINK_FAILED}
    for source in BROKEN:
        assert verdicts[source].outcome in (Outcome.COMPILE_ERROR, Outcome.PARSE_ERROR, Outcome.MISSING_ITEM), source
        assert all(found.line <= source.count("\n") for found in verdicts[source].diagnostics)
    for source in FINE:
        assert verdicts[source].reward.no_warnings == 1.0, (source, verdicts[source].diagnostics)
    for source in WARNED:
        found = [diagnostic.level for diagnostic in verdicts[source].diagnostics]
        assert found
        assert set(found) == {"warning"}
        assert verdicts[source].reward.no_warnings == 1.0 - 0.25 * len(found)
    assert verdicts[POISON[-1]].reward.no_warnings < 1.0, "hiding warnings pays no better than having them"


def test_a_text_is_judged_once(settings: FarmSettings) -> None:
    remembers = settings.model_copy(update={"cache_size": 2})
    with Judge(remembers) as judge:
        first, twin, other = judge.judge([Submission(name, FINE[name == "c"], COUNT) for name in "abc"])
        again, elsewhere = judge.judge(
            [Submission("d", FINE[0], COUNT), Submission("e", FINE[0], Problem("count", COUNT.params, "usize"))]
        )
    verdicts = [first, twin, other, again, elsewhere]
    assert [verdict.id for verdict in verdicts] == list("abcde")
    assert not any(isinstance(verdict, InfraFault) for verdict in verdicts)
    assert [verdict.cached for verdict in verdicts if isinstance(verdict, Scored)] == [False, True, False, True, False]
    assert len({verdict.reward for verdict in (first, twin, again) if isinstance(verdict, Scored)}) == 1
