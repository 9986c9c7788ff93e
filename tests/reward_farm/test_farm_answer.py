"""Which Rust is found in what a model wrote, and problems and verdicts as JSON."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reward_farm.answer import source_of
from reward_farm.document import read_problem, write_problem, write_verdict
from reward_farm.errors import BadProblem, BadValue, UnsupportedType
from reward_farm.problem import Case, Err, Ok, Problem
from reward_farm.verdict import Diagnostic, InfraFault, Outcome, RewardBreakdown, Scored, Stage

GOOD = "pub fn f(x: i32) -> i32 {\n    x\n}\n"
WRONG = "pub fn f(x: i32) -> i32 {\n    0\n}\n"
DOC = "```\n/// f(1);\n```\n"
MAIN = "fn main() {\n    f(1);\n}\n"


@pytest.mark.parametrize(
    ("completion", "expected"),
    [
        pytest.param(GOOD, GOOD, id="bare"),
        pytest.param(f"Sure:\n```rust\n{GOOD}```\nDone.", GOOD, id="a fence"),
        pytest.param(f"```Rust,ignore\n{GOOD}```", GOOD, id="marked with more words"),
        pytest.param(f"~~~rs\n{GOOD}~~~", GOOD, id="tildes"),
        pytest.param(f"```\n{GOOD}```", GOOD, id="without a mark"),
        pytest.param(f"```rust\n{GOOD}", GOOD, id="never closed"),
        pytest.param(f"```\n\n```rust\n{GOOD}```\nDone.", GOOD, id="begun twice"),
        pytest.param(f"````rust\n{DOC}{GOOD}````", DOC + GOOD, id="a longer fence"),
        pytest.param(f"```bash\ncargo run\n```\n```rust\n{GOOD}```", GOOD, id="another language before"),
        pytest.param(f"```rust\n{WRONG}```\nNo, wait:\n```rust\n{GOOD}```", GOOD, id="corrected"),
        pytest.param(f"```rust\n{GOOD}```\nUse it so:\n```rust\n{MAIN}```", GOOD, id="with a usage example"),
        pytest.param(f"<think>```rust\n{WRONG}```</think>```rust\n{GOOD}```", GOOD, id="thinks aloud"),
        pytest.param({"role": "assistant", "content": f"```rust\n{GOOD}```"}, GOOD, id="a message"),
        pytest.param([{"role": "user", "content": WRONG}, {"role": "assistant", "content": GOOD}], GOOD, id="a chat"),
        pytest.param([{"content": [{"text": GOOD[:9]}, {"text": GOOD[9:]}]}], GOOD, id="a message in parts"),
        pytest.param("", "", id="nothing"),
        pytest.param([], "", id="no message"),
        pytest.param(None, "", id="null"),
    ],
)  # fmt: skip
def test_the_rust_is_found(completion: Any, expected: str) -> None:
    assert source_of(completion, "f") == expected


def test_a_completion_goes_on_from_its_prompt_unless_it_begins_anew() -> None:
    prompt, rest = "/// Itself.\npub fn f(x: i32) -> i32 {", "\n    x\n}\n"
    assert source_of(rest, "f", prompt) == prompt + rest
    assert source_of(f"```rust{rest}```", "f", prompt) == prompt + rest.removeprefix("\n")
    assert source_of(f"```rust\n{GOOD}```", "f", prompt) == GOOD
    assert source_of("\n    f(x - 1)\n}\n", "f", prompt).startswith(prompt), "a call is no definition"


@given(st.text(alphabet="`~ \nrust<think/>fn f(){}x", max_size=80), st.sampled_from(["", "f"]))
def test_no_text_breaks_the_rule(text: str, entry: str) -> None:
    assert all(part in text for part in source_of(text, entry).split("\n"))


VALUES = [
    ("&[i32]", [1, -2], [1, -2]),
    ("(u8, String)", [7, "a"], (7, "a")),
    ("()", None, ()),
    ("Option<char>", None, None),
    ("Option<&str>", "x", "x"),
    ("Result<i64, String>", {"Ok": 3}, Ok(3)),
    ("Result<i64, Vec<(u8, u8)>>", {"Err": [[1, 2]]}, Err([(1, 2)])),
    ("HashMap<String, Vec<u8>>", {"a": [1]}, {"a": [1]}),
    ("BTreeMap<i32, bool>", {"-4": True}, {-4: True}),
    ("HashMap<(u8, u8), f64>", [[[1, 2], 3]], {(1, 2): 3.0}),
    ("[f32; 2]", ["Infinity", 1], [math.inf, 1.0]),
    ("Ordering", "Less", -1),
    ("u128", 2**100, 2**100),
]


@pytest.mark.parametrize(("kind", "plain", "value"), VALUES)
def test_values_are_read_by_their_rust_type_and_written_so_that_they_are_read_again(
    kind: str, plain: Any, value: Any
) -> None:
    problem = Problem("f", (kind,), kind, (Case((value,), value),))
    document = {"entry": "f", "params": [kind], "returns": kind, "cases": [{"args": [plain], "expected": plain}]}
    assert read_problem(document) == read_problem(json.dumps(document)) == problem
    assert read_problem(json.dumps(write_problem(problem), allow_nan=False)) == problem


def test_a_problem_may_ask_for_little_and_carry_more() -> None:
    assert read_problem('{"entry": "main"}') == Problem("main", (), "()")
    asked = "assert_eq!(f(2), 4);"
    assert read_problem({"entry": "f", "assertions": asked, "difficulty": 3}) == Problem("f", (), "()", (), asked)


@pytest.mark.parametrize(
    ("document", "error", "says"),
    [
        ("{", BadProblem, "must be JSON"),
        ("[]", BadProblem, "a JSON object, not list"),
        ("{}", BadProblem, 'needs "entry"'),
        ({"entry": "f", "params": "i32"}, BadProblem, '"params" must be a list'),
        ({"entry": "f", "params": ["&" * 5000 + "u8"], "cases": [1]}, BadProblem, '"params" must be'),
        ({"entry": "f", "returns": "&" * 5000 + "u8", "cases": [1]}, BadProblem, '"returns" must be'),
        ({"entry": "f", "cases": [{"args": []}]}, BadProblem, 'a case is {"args"'),
        ({"entry": "f", "cases": [{"args": [1], "expected": 1}]}, BadProblem, "gives 1 arguments"),
        ({"entry": "f", "params": ["Foo"], "cases": [{"args": [1], "expected": 1}]}, UnsupportedType, "`Foo`"),
        ({"entry": "f", "params": ["u8"], "cases": [{"args": [256], "expected": None}]}, BadValue, "256"),
        ({"entry": "f", "params": ["u8"], "cases": [{"args": ["x"], "expected": None}]}, BadValue, "'x'"),
        ({"entry": "f", "params": ["Result<u8, u8>"], "cases": [{"args": [{"Ko": 1}], "expected": 0}]}, BadValue, "Ko"),
        ({"entry": "f g", "cases": [{"args": [], "expected": None}]}, BadValue, "no name"),
    ],
)  # fmt: skip
def test_what_is_no_problem_is_said_to_be_none(document: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error) as caught:
        read_problem(document)
    assert says in str(caught.value)


def test_a_verdict_is_json_and_a_fault_has_no_reward() -> None:
    found = Diagnostic("error", "E0308", "mismatched types", 2, 5, 2, 8)
    verdict = Scored("a", Outcome.COMPILE_ERROR, RewardBreakdown(parses=4.0), (found,), stage=Stage.TYPES)
    written = json.loads(json.dumps(write_verdict(verdict)))
    assert (written["outcome"], written["reward"], written["stage"]) == ("compile_error", 4.0, "types")
    assert written["reward_parts"]["parses"] == 4.0
    assert written["diagnostics"][0]["end_column"] == 8
    assert write_verdict(InfraFault("b", "disk full")) == {
        "id": "b", "outcome": "infra_fault", "reward": None, "reason": "disk full"
    }  # fmt: skip
