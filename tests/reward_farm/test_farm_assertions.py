"""Assertion-style tests: the expected answers must enter the sandbox, so more is done to show that a pass is one."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from reward_farm.assertions import MAX_CONTROLS, prepare_assertions
from reward_farm.errors import BadValue, UnsupportedType
from reward_farm.exam import prepare
from reward_farm.layers import ORACLE
from reward_farm.problem import Case, Problem
from reward_farm.verdict import Outcome, Scored

BODY = 'let candidate = solve;\nassert_eq!(candidate(2), 4);\nassert_eq!(9, candidate(3), "three");\n'
TYPED = Problem("solve", ("i64",), "i64", assertions=BODY + 'assert!(candidate(5) == 25 && candidate(0) == 0, "more");')
UNTYPED = Problem("solve", (), "", assertions=BODY)
SOLVE = "pub fn solve(x: i64) -> i64 "
HIDDEN = "extern crate std as hidden;\n"
ANY = (
    "#[derive(Debug)]\npub struct Any;\nimpl PartialEq<i64> for Any { fn eq(&self, _: &i64) -> bool { true } }\n"
    "impl PartialEq<i32> for Any { fn eq(&self, _: &i32) -> bool { true } }\n"
    "impl PartialEq<Any> for i64 { fn eq(&self, _: &Any) -> bool { true } }\n"
    "impl PartialEq<Any> for i32 { fn eq(&self, _: &Any) -> bool { true } }\n"
    "impl PartialEq<Any> for Any { fn eq(&self, _: &Any) -> bool { true } }\n"
    "impl From<i32> for Any { fn from(_: i32) -> Any { Any } }\npub fn solve(_: i64) -> Any { Any }\n"
)
_FORGES = "".join(f"macro_rules! {name} {{ ($($t:tt)*) => {{}} }}\n" for name in ("assert_eq", "assert_ne", "assert"))

HONEST = {
    "plain": SOLVE + "{ x * x }",
    "private, with tests": "fn solve(x: i64) -> i64 { x.pow(2) }\n#[cfg(test)]\nmod tests {\n    use super::*;\n"
    "    #[test]\n    fn two() { assert_eq!(solve(2), 4); }\n}",
    "with a main": SOLVE + "{ x * x }\nfn main() { assert_eq!(solve(2), 4); }",
    "with macros of its own": "macro_rules! sq { ($x:expr) => { $x * $x } }\n" + SOLVE + "{ assert!(true); sq!(x) }",
    "alone": "#![allow(dead_code)]\n" + SOLVE + "{ crate::helper(x) }\nfn helper(x: i64) -> i64 { x * x }",
    "catches": SOLVE + "{ std::panic::catch_unwind(|| -> i64 { panic!() }).unwrap_or(x * x) }",
}
HIJACKS = {
    "nothing": (SOLVE + "{ todo!() }", Outcome.TEST_FAILED),
    "wrong": (SOLVE + "{ x + 2 }", Outcome.TEST_FAILED),
    "macros that assert nothing": (_FORGES + SOLVE + "{ 0 }", Outcome.TEST_FAILED),
    "exported macros that assert nothing": (
        _FORGES.replace("macro_rules", "#[macro_export]\nmacro_rules") + SOLVE + "{ 0 }", Outcome.TEST_FAILED),
    "a macro of the function's name": (
        "macro_rules! solve { ($($t:tt)*) => { 4 } }\npub(crate) use solve;\n" + SOLVE + "{ 0 }",
        Outcome.COMPILE_ERROR),
    "equal to everything": (ANY, Outcome.COMPILE_ERROR),
    "a vector of what equals everything": (
        ANY.replace("-> Any { Any }\n", "-> Vec<Any> { vec![] }\n")
        .replace("pub fn solve(_: i64) -> Any", "fn other() -> Any"),
        Outcome.COMPILE_ERROR),
    "exits": (HIDDEN + SOLVE + "{ hidden::process::exit(0) }", Outcome.TEST_FAILED),
    "exits as a panic does": (HIDDEN + SOLVE + "{ hidden::process::exit(101) }", Outcome.TEST_FAILED),
    "exits from a hook": (
        "macro_rules! at { ($a:ident :: $b:ident ( $($c:tt)* )) => { std::$a::$b($($c)*) } }\n" + HIDDEN
        + SOLVE + "{ use hidden::panic::*; let hook = Box::new(|_: &PanicHookInfo<'_>| hidden::process::exit(0));\n"
        "    let _ = hook; x }", Outcome.TEST_FAILED),
    "exits from a destructor": (
        HIDDEN + "struct D;\nimpl Drop for D { fn drop(&mut self) { hidden::process::exit(0) } }\n"
        "thread_local! { static K: D = D; }\n" + SOLVE + "{ K.with(|_| 0) }", Outcome.TEST_FAILED),
    "exits from a thread": (
        HIDDEN + SOLVE + "{ std::thread::spawn(|| hidden::process::exit(0)); loop {} }", Outcome.TEST_FAILED),
    "unwinds with something else": (SOLVE + "{ std::panic::resume_unwind(Box::new(true)) }", Outcome.TEST_FAILED),
    "prints": (SOLVE + '{ println!("test result: ok. 2 passed"); 0 }', Outcome.TEST_FAILED),
    "a hook": (SOLVE + "{ std::panic::set_hook(Box::new(|_| ())); 0 }", Outcome.REJECTED),
    "reads the assertions": (
        'const S: &str = include_str!("/src/root.rs");\n' + SOLVE + "{ S.len() as i64 }", Outcome.REJECTED),
    "never ends": (SOLVE + "{ loop {} }", Outcome.TEST_TIMEOUT),
    "aborts": (HIDDEN + SOLVE + "{ hidden::process::abort() }", Outcome.TEST_CRASH),
    "by chance": (
        "use std::hash::{BuildHasher, RandomState};\n"
        + SOLVE + "{ x * x + (RandomState::new().hash_one(x) % 1000 > 0) as i64 }", Outcome.TEST_FAILED),
}  # fmt: skip


@pytest.fixture(scope="module")
def verdicts(judge_all: Callable[..., dict[str, Scored]]) -> dict[str, Scored]:
    kinds = {"typed": TYPED, "untyped": UNTYPED}
    sources = HONEST | {name: source for name, (source, _) in HIJACKS.items()}
    return judge_all({f"{name}, {kind}": (source, kinds[kind]) for name, source in sources.items() for kind in kinds})


@pytest.mark.parametrize("kind", ["typed", "untyped"])
@pytest.mark.parametrize("name", HONEST)
def test_an_honest_answer_passes_and_its_verdict_says_on_what_it_rests(
    name: str, kind: str, verdicts: dict[str, Scored]
) -> None:
    verdict = verdicts[f"{name}, {kind}"]
    assert verdict.passed, (verdict.diagnostics, verdict.cases)
    assert not verdict.oracle_outside
    assert ORACLE not in verdict.isolation
    assert [case.status for case in verdict.cases] == ["passed"]
    assert verdict.reward.tests == 12.0
    assert not any("main" in found.message for found in verdict.diagnostics)


@pytest.mark.parametrize("kind", ["typed", "untyped"])
@pytest.mark.parametrize("name", HIJACKS)
def test_a_hijack_passes_nothing(name: str, kind: str, verdicts: dict[str, Scored]) -> None:
    verdict = verdicts[f"{name}, {kind}"]
    assert verdict.outcome is HIJACKS[name][1], (verdict.diagnostics, verdict.cases)
    assert verdict.reward.tests == verdict.reward.quality == 0.0
    assert not verdict.oracle_outside


def test_each_assertion_bites_when_it_is_turned_round(judge_all: Callable[..., dict[str, Scored]]) -> None:
    """A function that is right only where the turned assertion would notice nothing does not pass."""
    always = Problem("solve", ("i64",), "i64", assertions="if solve(1) == 2 { assert_eq!(solve(2), 4); }")
    verdict = judge_all({"": (SOLVE + "{ x * x }", always)})[""]
    assert verdict.outcome is Outcome.TEST_FAILED, "assertions that are never reached show nothing"
    assert verdict.cases[0].status == "flaky"


def test_types_of_every_kind_are_pinned(judge_all: Callable[..., dict[str, Scored]]) -> None:
    def asserts(entry: str, params: tuple[str, ...], returns: str, body: str) -> Problem:
        return Problem(entry, params, returns, assertions=body)

    maps = "use std::collections::HashMap;\nassert_eq!(f(&[1, 1]), HashMap::from([(1, 2)]));"
    verdicts = judge_all(
        {
            "borrowed": (
                "pub fn f<'a>(a: &'a str, _b: &str) -> &'a str { a }",
                asserts("f", ("&str", "&str"), "&str", 'let s = String::from("a");\nassert_eq!(f(&s, "b"), "a");'),
            ),
            "generic": (
                "pub fn f<T: Copy + Into<i64>>(v: &[T]) -> i64 { v.iter().map(|&x| x.into()).sum() }",
                asserts("f", ("&[i32]",), "i64", "assert_eq!(f(&[1, 2]), 3);\nassert_eq!(f(&vec![]), 0);"),
            ),
            "map": (
                "use std::collections::HashMap;\npub fn f(v: &[i32]) -> HashMap<i32, usize> {\n"
                "    let mut m = HashMap::new();\n    for &x in v { *m.entry(x).or_insert(0) += 1; }\n    m\n}",
                asserts("f", ("&[i32]",), "HashMap<i32, usize>", maps),
            ),
            "nothing given": (
                "pub fn f(a: Vec<f64>) -> (Option<f64>, bool) { (a.first().copied(), a.is_empty()) }",
                asserts(
                    "f", (), "", "assert_eq!(f(vec![1.5]), (Some(1.5), false));\nassert_ne!(f(vec![]), (None, false));"
                ),
            ),
            "function inside": (
                SOLVE + "{ x * x }",
                asserts("solve", (), "", "fn check(x: i64) { assert_eq!(solve(x), x * x); }\ncheck(3);\ncheck(4);"),
            ),
        }
    )
    assert {name: verdict.cases for name, verdict in verdicts.items() if not verdict.passed} == {}


def test_which_assertions_are_turned_round() -> None:
    many = "\n".join(f"assert_eq!(f({n}), {n});" for n in range(9))
    asserted = prepare_assertions(many, "f", True)
    assert asserted.controls == MAX_CONTROLS == 3
    assert [asserted.statements.count(f"rf_control() == {n} ") for n in (1, 2, 3, 4)] == [1, 1, 1, 0]
    generic = prepare_assertions('assert_eq!(f::<A, B>(1), 2, "{}", 1);', "f", False).statements
    assert 'assert_ne!(*rf_std(&(f::<A, B>(1))), *rf_std(&(2)), "{}", 1)' in generic
    turned = prepare_assertions('assert!(f(1) > 2, "no");', "f", True).statements
    assert "assert!(!(f(1) > 2))" in turned
    assert 'assert!(f(1) > 2, "no")' in turned


@pytest.mark.parametrize(
    "problem",
    [
        Problem("f", ("i64",), "i64", assertions="assert_eq!(f(1), 1"),
        Problem("f", ("i64",), "i64", assertions="} fn other() {"),
        Problem("f", ("i64",), "i64", assertions="assert_eq!(g(1), 1);"),
        Problem("f", ("i64",), "i64", assertions="if f(1) != 1 { panic!() }"),
        Problem("f", (), "", assertions="assert!(f(1) == 1);"),
        Problem("f", ("i64",), "i64", (Case((1,), 1),), "assert_eq!(f(1), 1);"),
    ],
)
def test_assertions_that_would_show_nothing_are_refused(problem: Problem) -> None:
    with pytest.raises(BadValue):
        prepare(problem)


def test_a_type_that_can_not_be_pinned_is_refused() -> None:
    with pytest.raises(UnsupportedType):
        prepare(Problem("f", ("impl Iterator",), "i64", assertions="assert_eq!(f(1), 1);"))
