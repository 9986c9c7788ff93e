"""Others' tasks become ours: each published form, our own, and every mistake with its line."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from reward_farm.judge import Judge
from reward_farm.problem import Submission
from reward_farm.settings import FarmSettings
from trainer.benchmarks.errors import BenchmarkUnreadable
from trainer.benchmarks.load import import_tasks
from trainer.benchmarks.verify import UNVERIFIED, Standing, marked, prove
from trainer.tasks.bank import TaskBank
from trainer.tasks.task import Form, Split

MULTIPL_E = {
    "name": "mbpp_2_largest",
    "prompt": "/// The largest of them.\n/// >>> largest(vec![1])\n/// 1\nfn largest(items: Vec<isize>) -> isize {\n",
    "tests": "}\n\nfn main() {\n    let candidate = largest;\n    assert_eq!(candidate(vec![1, 3]), 3);\n"
    "    assert_eq!(candidate(vec![-1, -3]), -1);\n}\n",
    "stop_tokens": ["\n}"],
}
HUMANEVAL_X = {
    "task_id": "Rust/1",
    "prompt": "\n/*\n Doubles a number.\n*/\nuse std::collections::HashMap;\nfn main(){}\n",
    "declaration": "fn double(x: i32) -> i32{\n",
    "canonical_solution": "    x * 2\n}\n",
    "test": "#[cfg(test)]\nmod tests {\n    use super::*;\n    use std::collections::BTreeMap;\n\n    #[test]\n"
    "    fn one() {\n        let m = BTreeMap::<i8, i8>::new();\n        assert!(m.is_empty() && double(2) == 4);\n"
    "    }\n    #[test]\n    fn two() {\n        assert!(double(3) == 6);\n    }\n}\n",
}
PACK = HUMANEVAL_X | {
    "prompt": HUMANEVAL_X["prompt"] + HUMANEVAL_X["declaration"],
    "docstring": "Doubles a number.",
    "buggy_solution": "    x * 3\n}\n",
    "bug_type": "operator misuse",
}
OWN = {
    "id": "mine-1",
    "prompt": "/// Adds them.\npub fn add(a: i32, b: i32) -> i32 {",
    "problem": {"entry": "add", "params": ["i32", "i32"], "returns": "i32", "cases": [{"args": [1, 2], "expected": 3}]},
    "reference": "\n    a + b\n}\n",
    "tags": ["sums"],
}


def written(path: Path, *rows: Any) -> Path:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def test_every_form_is_known_by_its_keys_and_survives_a_bank(tmp_path: Path) -> None:
    bank = import_tasks(written(tmp_path / "all.jsonl", MULTIPL_E, HUMANEVAL_X, PACK | {"task_id": "Rust/2"}, OWN))
    assert [(task.id, task.family, task.form) for task in bank.all] == [
        ("mbpp_2_largest", "mbpp-rs", Form.COMPLETE),
        ("Rust/1", "humaneval-x", Form.COMPLETE),
        ("Rust/2", "humanevalpack", Form.COMPLETE),
        ("Rust/2/fix", "humanevalpack-fix", Form.REPAIR),
        ("mine-1", "own", Form.COMPLETE),
    ]
    assert {task.split for task in bank.all} == {Split.BENCHMARK}
    assert all(task.prompt.endswith("{") for task in bank.all)
    largest, double, _, fix, mine = bank.all
    assert "largest(items: Vec<isize>) -> isize" in largest.instruction and not largest.solved
    assert double.problem.params == ("i32",), "`assert!` needs the types"
    assert "x * 3" in fix.prompt and "x * 3" in fix.instruction and fix.reference == double.reference
    assert mine.instruction.endswith("Adds them.")
    bank.save(tmp_path / "bank.jsonl")
    assert TaskBank.load(tmp_path / "bank.jsonl").all == bank.all


def test_known_answers_pass_and_what_can_not_be_relied_on_is_marked(tmp_path: Path) -> None:
    wrong = OWN | {"id": "wrong", "reference": "\n    a - b\n}\n"}
    hollow = OWN | {
        "id": "hollow",
        "problem": OWN["problem"] | {"cases": [], "assertions": "let f = add; assert_eq!(1, 1); let _ = f;"},
    }
    rows = (MULTIPL_E, HUMANEVAL_X, PACK | {"task_id": "Rust/2"}, OWN, wrong, hollow)
    bank = import_tasks(written(tmp_path / "all.jsonl", *rows))
    settings = FarmSettings(cache_size=0)
    with Judge(settings) as first, Judge(settings) as second:
        proofs = list(prove(bank.all, first.judge, second.judge))
        (broken,) = first.judge([Submission("b", f"{bank.all[1].prompt}\n    x * 3\n}}\n", bank.all[1].problem)])
    assert not broken.passed
    found = {proof.task.id: proof.standing for proof in proofs}
    assert found == {
        "mbpp_2_largest": Standing.UNANSWERED,
        "Rust/1": Standing.VERIFIED,
        "Rust/2": Standing.VERIFIED,
        "Rust/2/fix": Standing.VERIFIED,
        "mine-1": Standing.VERIFIED,
        "wrong": Standing.UNSATISFIED,
        "hollow": Standing.HOLLOW,
    }
    tagged = {task.id for task in marked(proofs) if UNVERIFIED in task.tags}
    assert tagged == {"mbpp_2_largest", "wrong", "hollow"}


def test_every_mistake_is_named_with_its_line(tmp_path: Path) -> None:
    file = written(
        tmp_path / "bad.jsonl",
        OWN,
        "{not json",
        "[1]",
        {"foo": 1},
        OWN | {"prompt": "pub fn add(a: i32, b: i32) -> i32 {\n", "id": "x"},
        OWN | {"id": "y", "problem": {"entry": "add"}},
        OWN | {"id": "z", "problem": OWN["problem"] | {"returns": "Foo"}},
        OWN | {"id": "q", "colour": "red"},
        MULTIPL_E | {"tests": "nothing"},
        OWN,
    )
    with pytest.raises(BenchmarkUnreadable) as caught:
        import_tasks(file)
    lines = str(caught.value).splitlines()
    assert [line.split(":")[1] for line in lines] == [str(number) for number in range(2, 11)]
    for line, says in zip(
        lines,
        ("no JSON", "no JSON object but list", "none of the forms", "no newline", "asks nothing", "Foo",
         "unknown keys colour", "neither a #[test] function nor main", "has been before"),
        strict=True,
    ):  # fmt: skip
        assert says in line, line
    with pytest.raises(BenchmarkUnreadable, match="has no tasks"):
        import_tasks(written(tmp_path / "empty.jsonl"))
    with pytest.raises(BenchmarkUnreadable, match="can't be read"):
        import_tasks(tmp_path / "none.jsonl")
    with pytest.raises(BenchmarkUnreadable, match="and 5 more lines"):
        import_tasks(written(tmp_path / "many.jsonl", *["{"] * 15))


@pytest.mark.nightly
@pytest.mark.skipif(not os.environ.get("FERROTYPE_MULTIPL_E"), reason="FERROTYPE_MULTIPL_E names no folder")
@pytest.mark.parametrize(("name", "verified"), [("humaneval", 155), ("mbpp", 282)])
def test_multipl_e_is_verified_as_far_as_it_can_be(name: str, verified: int) -> None:
    bank = import_tasks(Path(os.environ["FERROTYPE_MULTIPL_E"]) / f"multipl_e_{name}_rs.jsonl")
    settings = FarmSettings(cache_size=0)
    with Judge(settings) as first, Judge(settings) as second:
        standings = [proof.standing for proof in prove(bank.all, first.judge, second.judge)]
    assert standings.count(Standing.VERIFIED) >= verified
    assert Standing.HOLLOW not in standings and Standing.FLAKY not in standings
