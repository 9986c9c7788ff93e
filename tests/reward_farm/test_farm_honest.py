"""Honest answers of every type pass, and wrong ones fail for the right reason."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from reward_farm.judge import Judge
from reward_farm.problem import Case, Err, Ok, Problem, Submission
from reward_farm.verdict import Outcome, Scored

SQUARE = Problem("solve", ("i64",), "i64", (Case((2,), 4), Case((-3,), 9)))


def one(params: tuple[str, ...], returns: str, *cases: tuple[tuple[object, ...], object]) -> Problem:
    return Problem("f", params, returns, tuple(Case(args, expected) for args, expected in cases))  # type: ignore[arg-type]


HONEST = {
    "slice": ("pub fn f(v: &[i32]) -> i64 { v.iter().map(|&x| x as i64).sum() }",
              one(("&[i32]",), "i64", (([1, -2, 2**31 - 1],), 2**31 - 2), (([],), 0))),
    "wide": ("pub fn f(a: u128, b: i8) -> u128 { a - (b as i128).unsigned_abs() }",
             one(("u128", "i8"), "u128", ((2**128 - 1, -128), 2**128 - 129))),
    "usize": ("pub fn f(a: usize, b: isize) -> (usize, isize) { (a, b) }",
              one(("usize", "isize"), "(usize, isize)", ((2**64 - 1, -(2**63)), (2**64 - 1, -(2**63))))),
    "float": ("pub fn f(x: f64, y: f32) -> (f64, f32) { (x / 3.0, y.sqrt()) }",
              one(("f64", "f32"), "(f64, f32)", ((1.0, 2.0), (1 / 3, math.sqrt(2))),
                  ((-0.0, math.inf), (0.0, math.inf)))),
    "nan": ("pub fn f() -> f64 { f64::NAN }", one((), "f64", ((), math.nan))),
    "bool": ("pub fn f(a: bool) -> bool { !a }", one(("bool",), "bool", ((True,), False), ((False,), True))),
    "char": ("pub fn f(c: char) -> Option<u32> { c.to_digit(16) }",
             one(("char",), "Option<u32>", (("f",), 15), (("é",), None))),
    "str": ("pub fn f(s: &str) -> String { s.chars().rev().collect() }",
            one(("&str",), "String", (("añ🦀",), "🦀ña"), (("",), ""))),
    "borrowed": ("pub fn f<'a>(a: &'a str, b: &'a str) -> &'a str { if a.len() > b.len() { a } else { b } }",
                 one(("&'a str", "&'a str"), "&'a str", (("abc", "de"), "abc"))),
    "nested": ("pub fn f(v: &[&str]) -> Vec<Vec<char>> { v.iter().map(|s| s.chars().collect()).collect() }",
               one(("&[&str]",), "Vec<Vec<char>>", ((["ab", ""],), [["a", "b"], []]))),
    "owned": ("pub fn f(mut v: Vec<String>) -> Vec<String> { v.sort(); v }",
              one(("Vec<String>",), "Vec<String>", ((["b", "a"],), ["a", "b"]))),
    "ref": ("pub fn f(a: &i32, v: &Vec<u8>) -> i32 { a + v.len() as i32 }",
            one(("&i32", "&Vec<u8>"), "i32", ((5, [1, 2]), 7))),
    "array": ("pub fn f(a: [i32; 3]) -> [i32; 2] { [a[0] + a[1], a[2]] }",
              one(("[i32; 3]",), "[i32; 2]", (([1, 2, 3],), [3, 3]))),
    "tuple": ("pub fn f(p: (i32, &str), q: &[(u8, bool)]) -> (String, usize) {\n"
              "    (format!(\"{}{}\", p.1, p.0), q.len())\n}",
              one(("(i32, &str)", "&[(u8, bool)]"), "(String, usize)", (((1, "x"), [(1, True)]), ("x1", 1)))),
    "result": ("pub fn f(s: &str) -> Result<i32, String> { s.parse::<i32>().map_err(|_| format!(\"bad {s}\")) }",
               one(("&str",), "Result<i32, String>", (("12",), Ok(12)), (("q",), Err("bad q")))),
    "hashmap": ("use std::collections::HashMap;\npub fn f(s: &str) -> HashMap<char, usize> {\n"
                "    let mut m = HashMap::new();\n    for c in s.chars() { *m.entry(c).or_insert(0) += 1; }\n    m\n}",
                one(("&str",), "HashMap<char, usize>", (("aba",), {"a": 2, "b": 1}))),
    "mapin": ("use std::collections::BTreeMap;\npub fn f(m: &BTreeMap<String, i32>) -> Option<String> {\n"
              "    m.iter().max_by_key(|(_, v)| **v).map(|(k, _)| k.clone())\n}",
              one(("&BTreeMap<String, i32>",), "Option<String>", (({"a": 1, "b": 4},), "b"), (({},), None))),
    "set": ("use std::collections::HashSet;\npub fn f(a: &[i32]) -> HashSet<i32> { a.iter().copied().collect() }",
            one(("&[i32]",), "std::collections::HashSet<i32>", (([3, 1, 3],), [1, 3]))),
    "set of options": ("use std::collections::{BTreeSet, HashSet};\n"
                       "pub fn f(a: BTreeSet<Option<i32>>) -> HashSet<Option<i32>> { a.into_iter().collect() }",
                       one(("BTreeSet<Option<i32>>",), "HashSet<Option<i32>>", (([None, 3, -1],), [3, None, -1]))),
    "ordering": ("use std::cmp::Ordering;\npub fn f(a: i32, b: i32) -> Ordering { a.cmp(&b) }",
                 one(("i32", "i32"), "Ordering", ((1, 2), -1), ((2, 2), 0), ((3, 2), 1))),
    "unit": ("pub fn f(_a: ()) {}", one(("()",), "()", (((),), ()))),
    "boxed": ("pub fn f(a: Box<i32>) -> Box<i32> { Box::new(*a + 1) }", one(("Box<i32>",), "Box<i32>", ((1,), 2))),
    "generic": ("pub fn f<T: Into<i64> + Copy>(v: &[T]) -> i64 { v.iter().map(|&x| x.into()).sum() }",
                one(("&[i32]",), "i64", (([1, 2],), 3))),
    "large": ("pub fn f(n: usize) -> Vec<u64> { (0..n as u64).collect() }",
              one(("usize",), "Vec<u64>", ((50_000,), list(range(50_000))))),
    "prints": ("pub fn solve(x: i64) -> i64 { println!(\"{x}\"); eprintln!(\"{x}\"); x * x }", SQUARE),
    "private": ("fn solve(x: i64) -> i64 { x * x }", SQUARE),
    "own tests": ("pub fn solve(x: i64) -> i64 { x * x }\n#[cfg(test)]\nmod tests {\n    use super::*;\n"
                  "    #[test]\n    fn squares() { assert_eq!(solve(2), 4); }\n}", SQUARE),
    "crate path": ("pub fn solve(x: i64) -> i64 { crate::inner::twice(x, x) }\n"
                   "mod inner { pub(crate) fn twice(a: i64, b: i64) -> i64 { a * b } }", SQUARE),
    "inner attribute": ("#![allow(dead_code)]\npub fn solve(x: i64) -> i64 { x * x }\nfn other() {}", SQUARE),
    "threads": ("pub fn solve(x: i64) -> i64 { std::thread::spawn(move || x * x).join().unwrap() }", SQUARE),
    "catches": ("pub fn solve(x: i64) -> i64 {\n    std::panic::catch_unwind(|| if x > 0 { panic!(\"no\") } else { x })"
                ".map_or(x * x, |v| v * v)\n}", SQUARE),
    "operator on f64": ("struct V(i64);\nimpl std::ops::Mul<V> for f64 {\n    type Output = f64;\n"
                        "    fn mul(self, v: V) -> f64 { self * v.0 as f64 }\n}\n"
                        "pub fn solve(x: i64) -> i64 { (x as f64 * V(x)) as i64 }", SQUARE),
    "byte order mark": ("\ufeffpub fn solve(x: i64) -> i64 { x * x }", SQUARE),
}  # fmt: skip

WRONG = {
    "off by one": ("pub fn solve(x: i64) -> i64 { x * x + 1 }", Outcome.TEST_FAILED),
    "half": ("pub fn solve(x: i64) -> i64 { if x > 0 { x * x } else { 0 } }", Outcome.TEST_FAILED),
    "panics": ("pub fn solve(x: i64) -> i64 { [1, 2][x as usize] }", Outcome.TEST_CRASH),
    "overflows": ("pub fn solve(x: i64) -> i64 { i64::MAX + x }", Outcome.TEST_CRASH),
    "missing": ("pub fn resolve(x: i64) -> i64 { x * x }", Outcome.MISSING_ITEM),
    "in a module": ("pub mod m { pub fn solve(x: i64) -> i64 { x * x } }", Outcome.MISSING_ITEM),
    "unbalanced": ("pub fn solve(x: i64) -> i64 { x * (x }", Outcome.PARSE_ERROR),
    "other type": ("pub fn solve(x: i32) -> i32 { x * x }", Outcome.COMPILE_ERROR),
    "too few arguments": ("pub fn solve() -> i64 { 4 }", Outcome.COMPILE_ERROR),
    "unknown name": ("pub fn solve(x: i64) -> i64 { y }", Outcome.COMPILE_ERROR),
    "moved": ("pub fn solve(x: i64) -> i64 { let v = vec![x]; let w = v; v[0] + w[0] }", Outcome.COMPILE_ERROR),
    "grows for ever": ("fn grow<T>(n: i64, t: T) -> i64 { if n == 0 { 0 } else { grow(n - 1, (t, 0u8)) } }\n"
                       "pub fn solve(x: i64) -> i64 { grow(x, 0) }", Outcome.LINK_FAILED),
}  # fmt: skip


@pytest.fixture(scope="module")
def verdicts(judge_all: Callable[..., dict[str, Scored]]) -> dict[str, Scored]:
    wrong = {name: (source, SQUARE) for name, (source, _) in WRONG.items()}
    return judge_all(HONEST | wrong)


@pytest.mark.parametrize("name", HONEST)
def test_an_honest_answer_passes_every_case(name: str, verdicts: dict[str, Scored]) -> None:
    verdict = verdicts[name]
    assert verdict.outcome is Outcome.PASSED, (verdict.diagnostics, verdict.cases)
    assert [case.status for case in verdict.cases] == ["passed"] * len(HONEST[name][1].cases)
    assert verdict.reward.tests == 12.0
    assert verdict.isolation


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_answer_fails_for_its_reason(name: str, verdicts: dict[str, Scored]) -> None:
    verdict = verdicts[name]
    assert verdict.outcome is WRONG[name][1], (verdict.diagnostics, verdict.cases)
    assert verdict.reward.quality == 0.0
    assert verdict.reward.total < 20.0


def test_the_wrong_answers_case_by_case(verdicts: dict[str, Scored]) -> None:
    assert [case.status for case in verdicts["half"].cases] == ["passed", "failed"]
    assert verdicts["half"].cases[1].got == "0"
    assert verdicts["half"].reward.tests == 4.0
    assert [case.status for case in verdicts["panics"].cases] == ["crashed", "crashed"]
    assert verdicts["unknown name"].diagnostics[0].code == "E0425"
    assert verdicts["unknown name"].reward.total == 4.0
    assert verdicts["moved"].diagnostics[0].code == "E0382"
    assert {error.code for error in verdicts["other type"].diagnostics} == {"E0308"}
    assert verdicts["grows for ever"].reward.compiles == 6.0


def test_without_cases_an_answer_is_only_compiled_and_scored_on_the_rest(judge: Judge) -> None:
    anything = Problem("load", ("P",), "io::Result<Vec<Config>>")
    source = (
        "use std::{fs, io};\n/// A line.\npub struct Config(pub String);\n/// Reads lines.\n"
        "pub fn load<P: AsRef<std::path::Path>>(path: P) -> io::Result<Vec<Config>> {\n"
        "    Ok(fs::read_to_string(path)?.lines().map(|line| Config(line.to_owned())).collect())\n}\n"
    )
    good, warned, broken = judge.judge(
        [
            Submission("good", source, anything),
            Submission("warned", source + "fn unused() {}\n", anything),
            Submission("broken", source.replace("?.lines", ".lines"), anything),
        ]
    )
    assert isinstance(good, Scored)
    assert isinstance(warned, Scored)
    assert isinstance(broken, Scored)
    assert good.passed
    assert good.reward.total == pytest.approx(30.0)
    assert warned.reward.no_warnings < good.reward.no_warnings
    assert broken.outcome is Outcome.COMPILE_ERROR
    assert broken.reward.total == pytest.approx(4.0 * 30 / 18)
