"""What a verdict tells beside its outcome: stage, spans, lints; limits told by name; answers that come only once."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from reward_farm.diagnostics import read_report
from reward_farm.judge import Judge
from reward_farm.problem import Case, Problem, Submission
from reward_farm.settings import FarmSettings
from reward_farm.stages import stage_of
from reward_farm.verdict import Diagnostic, InfraFault, Outcome, Scored, Stage

SQUARE = Problem("solve", ("i64",), "i64", (Case((2,), 4), Case((3,), 9), Case((-1,), 1)))
SOLVE = "pub fn solve(x: i64) -> i64 "
LIST = Problem("f", ("&[i32]",), "Vec<i32>", tuple(Case((list(range(n)),), list(range(n))) for n in (4, 6, 9)))
JudgeAll = Callable[..., dict[str, Scored]]

STAGES = {
    "x * (x": Stage.PARSE,
    "let gen = x; yield gen": Stage.PARSE,
    "let y = x * ; x": Stage.PARSE,
    "y": Stage.RESOLVE,
    "nothing!(x)": Stage.RESOLVE,
    "let n: Nothing = x; n": Stage.RESOLVE,
    "x.nothing()": Stage.TYPES,
    '"a"': Stage.TYPES,
    "let v = vec![x]; drop(v); v[0]": Stage.BORROW,
    "match x { 1 => 2 }": Stage.BORROW,
    "fn f<'a, 'b>(a: &'a i64, b: &'b i64) -> &'a i64 { b } *f(&x, &x)": Stage.BORROW,
    "let a = 300u8; x * x + a as i64": Stage.LINT,
    "const K: usize = [1, 2][3]; K as i64": Stage.LINT,
    "(255u8 + 1) as i64": Stage.LINT,
    # More than one: the earliest counts.
    "let v = vec![x]; drop(v); let s: &str = v[0]; nothing(s)": Stage.RESOLVE,
}
"""Where each body fails. Which of two late stages an overflow is of is rustc's choice."""


def test_a_verdict_names_the_earliest_stage_that_failed(judge_all: JudgeAll) -> None:
    verdicts = judge_all({body: (f"{SOLVE}{{ {body} }}", SQUARE) for body in STAGES})
    stages = {body: verdict.stage for body, verdict in verdicts.items()}
    late = {body for body, stage in STAGES.items() if stage is Stage.LINT}
    assert {body: stage for body, stage in stages.items() if body not in late} == {
        body: stage for body, stage in STAGES.items() if body not in late
    }
    assert {stages[body] for body in late} <= {Stage.LINT, Stage.CODEGEN}
    others = judge_all(
        {
            "right": (SOLVE + "{ x * x }", SQUARE),
            "wrong": (SOLVE + "{ x }", SQUARE),
            "refused": ("#![no_main]\n" + SOLVE + "{ x }", SQUARE),
        }
    )
    assert {verdict.stage for verdict in others.values()} == {None}


def test_stages_are_told_by_code_and_message() -> None:
    def stage(*found: tuple[str | None, str]) -> Stage | None:
        return stage_of(Outcome.COMPILE_ERROR, [Diagnostic("error", code, message, 1, 1) for code, message in found])

    assert stage(("E0308", ""), ("E0382", ""), ("overflowing_literals", "")) is Stage.TYPES
    assert stage((None, "lifetime may not live long enough"), ("E0080", "")) is Stage.BORROW
    assert stage((None, "cannot find attribute `x` in this scope")) is Stage.RESOLVE
    assert stage((None, "expected one of `)`"), ("E0425", "")) is Stage.PARSE
    assert stage_of(Outcome.COMPILE_ERROR, [Diagnostic("warning", "E0308", "", 1, 1)]) is None
    assert stage_of(Outcome.LINK_FAILED, ()) is Stage.CODEGEN
    assert stage_of(Outcome.COMPILE_TIMEOUT, ()) is None


def test_a_diagnostic_covers_its_span_in_the_text_as_it_was_sent(judge_all: JudgeAll) -> None:
    source = "fn solve(x: i64) -> i64 { x + nothing(\n    x) }\n"
    found = judge_all({"": (source, SQUARE)})[""].diagnostics
    assert [(each.line, each.column, each.end_line, each.end_column) for each in found] == [(1, 31, 1, 38)]
    assert source[30:37] == "nothing"
    spanning = SOLVE + "{\n    let s: &str = {\n        x\n    };\n    s.len() as i64\n}\n"
    [error] = judge_all({"": (spanning.replace("\n        x\n", "\n        x;\n"), SQUARE)})[""].diagnostics
    assert (error.code, error.line, error.end_line) == ("E0308", 2, 4)


def test_an_error_in_the_glue_is_never_a_siblings() -> None:
    """rustc suggests what has a name that looks alike, and that is in another candidate's file."""

    def span(file: str, primary: bool) -> str:
        place = '"line_start":1,"column_start":1,"line_end":1,"column_end":2'
        return f'{{"file_name":"/src/{file}","is_primary":{str(primary).lower()},{place},"expansion":null}}'

    line = (
        '{"$message_type":"diagnostic","level":"error","code":{"code":"E0425"},"message":"cannot find `solve`",'
        f'"spans":[{span("gt_03.rs", True)}],"children":[{{"spans":[{span("ct_05.rs", False)}]}}]}}'
    )
    assert list(read_report(line.encode(), "t").errors) == [3]


FLAKY = {
    "order of a set": (
        "use std::collections::HashSet;\npub fn f(v: &[i32]) -> Vec<i32> {\n"
        "    let s: HashSet<i32> = v.iter().copied().collect();\n    s.into_iter().collect()\n}",
        LIST,
    ),
    "chance": (
        "use std::hash::{BuildHasher, RandomState};\n"
        + SOLVE + "{ if RandomState::new().hash_one(x) % 4 > 0 { x * x } else { 0 } }", SQUARE),
    "the time": (
        SOLVE + "{ let t = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();\n"
        "    if t.subsec_nanos() / 100 % 4 > 0 { x * x } else { 0 } }", SQUARE),
}  # fmt: skip
STEADY = {
    "a sum in the order of a map": (
        "use std::collections::HashMap;\npub fn f(v: &[f64]) -> f64 {\n"
        "    let m: HashMap<usize, f64> = v.iter().copied().enumerate().collect();\n    m.values().sum()\n}",
        Problem("f", ("&[f64]",), "f64", (Case(([0.1, 0.2, 0.3, 1e9, 1e-9],), 1e9 + 0.6),))),
    "a set": (
        "use std::collections::HashSet;\npub fn f(v: &[i32]) -> HashSet<i32> { v.iter().copied().collect() }",
        Problem("f", ("&[i32]",), "HashSet<i32>", LIST.cases)),
    "a set in order": (
        "use std::collections::HashSet;\npub fn f(v: &[i32]) -> Vec<i32> {\n"
        "    let s: HashSet<i32> = v.iter().copied().collect();\n    let mut o: Vec<i32> = s.into_iter().collect();\n"
        "    o.sort_unstable();\n    o\n}", LIST),
    "threads": (SOLVE + "{ std::thread::scope(|s| { let t = s.spawn(|| x * x); t.join().unwrap() }) }", SQUARE),
    "state": (
        "use std::sync::atomic::{AtomicI64, Ordering};\nstatic CALLS: AtomicI64 = AtomicI64::new(0);\n"
        + SOLVE + "{ x * x + CALLS.fetch_add(1, Ordering::SeqCst) }", SQUARE),
}  # fmt: skip


def test_an_answer_that_comes_only_once_is_no_answer(judge_all: JudgeAll) -> None:
    """Each of these is right by luck in up to three of four processes, so asked twice most of thirty fail."""
    copies = 30
    candidates = {
        f"{name} {n}": (f"{source}\n// {n}", problem)
        for name, (source, problem) in FLAKY.items()
        for n in range(copies)
    }
    verdicts = judge_all(candidates)
    for name in FLAKY:
        paid = sum(verdicts[f"{name} {n}"].passed for n in range(copies))
        assert paid <= 16, name
    cases = [case for verdict in verdicts.values() for case in verdict.cases]
    flaky = [verdict for verdict in verdicts.values() if any(case.status == "flaky" for case in verdict.cases)]
    assert flaky
    assert all(verdict.outcome is Outcome.TEST_FAILED and verdict.reward.quality == 0.0 for verdict in flaky)
    assert all(case.got and case.got.startswith("right, then failed") for case in cases if case.status == "flaky")


def test_an_honest_answer_is_never_flaky(judge_all: JudgeAll) -> None:
    verdicts = judge_all({f"{name} {n}": (f"{source}\n// {n}", problem) for name, (source, problem) in STEADY.items()
                          for n in range(12)})  # fmt: skip
    assert {verdict.outcome for verdict in verdicts.values()} == {Outcome.PASSED}


def test_too_long_an_answer_is_an_outcome_of_its_own(judge_all: JudgeAll) -> None:
    grow = Problem("grow", ("usize",), "String", (Case((2,), "xx"), Case((3 << 20,), "x"), Case((1,), "x")))
    verdict = judge_all({"": ('pub fn grow(n: usize) -> String { "x".repeat(n) }', grow)})[""]
    assert verdict.outcome is Outcome.OUTPUT_LIMIT
    assert [case.status for case in verdict.cases] == ["passed", "flooded", "passed"]
    printing = SOLVE + '{ println!("{}", "x".repeat(1 << 20)); x * x }'
    assert judge_all({"": (printing, SQUARE)})[""].passed, "what is printed goes nowhere"


def test_memory_that_the_compiler_lacks_is_told_from_a_crash(settings: FarmSettings) -> None:
    doubling = "macro_rules! a { ($($t:tt)*) => { a!($($t)* $($t)*) } }\n" + SOLVE + "{ a!(x x); 0 }"
    tight = settings.model_copy(update={"compile_memory_mb": 512})
    with Judge(tight) as judge:
        hungry, sibling = judge.judge([Submission("a", doubling, SQUARE), Submission("b", SOLVE + "{ x * x }", SQUARE)])
    assert isinstance(hungry, Scored)
    assert isinstance(sibling, Scored)
    assert hungry.outcome is Outcome.COMPILE_MEMORY
    assert hungry.reward.total == 4.0
    assert sibling.passed


@pytest.fixture(scope="module")
def linting(settings: FarmSettings) -> FarmSettings:
    return settings.model_copy(update={"clippy": True})


def test_lints_are_told_and_change_no_outcome(linting: FarmSettings, judge: Judge) -> None:
    bodies = {
        "clean": "{ x * x }",
        "linted": "{ let y = x * x; return y; }",
        "wrong": "{ return x; }",
        "broken": "{ return y; }",
    }
    submissions = [Submission(name, SOLVE + body, SQUARE) for name, body in bodies.items()]
    for name, attribute in (("denied", "#[deny(clippy::all)]"), ("allowed", "#[allow(clippy::all)]"),
                            ("denied, all", "#![deny(warnings)]\n#![deny(clippy::all)]")):  # fmt: skip
        submissions.append(Submission(name, f"{attribute}\n{SOLVE}{bodies['linted']}", SQUARE))
    with Judge(linting) as lints:
        linted = {verdict.id: verdict for verdict in lints.judge(submissions) if isinstance(verdict, Scored)}
    plain = {verdict.id: verdict for verdict in judge.judge(submissions) if isinstance(verdict, Scored)}
    assert {name: verdict.outcome for name, verdict in linted.items()} == {
        name: verdict.outcome for name, verdict in plain.items()
    }
    assert len(linted) == len(submissions)
    assert linted["clean"].diagnostics == ()
    for name in ("linted", "denied", "denied, all", "allowed"):
        lints_of = [found for found in linted[name].diagnostics if found.is_lint]
        assert {found.code for found in lints_of} == {"clippy::needless_return", "clippy::let_and_return"} & {
            found.code for found in lints_of
        }
        assert lints_of, name
        assert {found.level for found in lints_of} == {"warning"}
        assert linted[name].reward.no_warnings < 1.0
        assert not any(found.is_lint for found in plain[name].diagnostics)
    assert linted["allowed"].reward.no_warnings < linted["linted"].reward.no_warnings, "hiding never pays"
    assert linted["linted"].reward.total < linted["clean"].reward.total
    assert not any(isinstance(verdict, InfraFault) for verdict in linted.values())
