"""Every family against the real farm: all solutions pass, a constant answer fails, the text reads as intended."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from reward_farm.judge import Judge
from reward_farm.problem import Submission
from reward_farm.settings import FarmSettings
from reward_farm.verdict import Scored
from trainer.tasks.families import FAMILIES
from trainer.tasks.task import Split, Task
from trainer.tasks.verify import verify
from trainer.tasks.wording import make_task, phrase, split_of


@pytest.fixture(scope="module")
def judge() -> Iterator[Judge]:
    with Judge(FarmSettings(max_batch=32)) as judge:
        yield judge


@pytest.fixture(scope="module")
def solutions() -> list[Task]:
    """Of each family two functions, in every style of solution."""
    tasks = []
    for family in FAMILIES:
        rng = Random(f"solutions:{family.name}")
        for _ in range(2):
            draft = family.make(rng)
            made = [make_task(family, draft, rng, 0, style) for style in range(len(draft.bodies))]
            tasks += [task for task in made if task is not None]
    return tasks


def test_every_solution_passes_its_hidden_cases_without_a_warning(judge: Judge, solutions: list[Task]) -> None:
    report = verify(solutions, judge.judge)
    assert report.failures == ()
    assert set(report.by_family) == {family.name for family in FAMILIES}
    assert report.mean_reward > 27, "references must be what the whole reward asks for, not only the tests"


def test_a_constant_answer_fails_in_every_family(judge: Judge, solutions: list[Task]) -> None:
    one_each = list({task.family: task for task in solutions}.values())
    verdicts = judge.judge([_constant(task) for task in one_each])
    for task, verdict in zip(one_each, verdicts, strict=True):
        assert isinstance(verdict, Scored)
        assert verdict.compiled and not verdict.passed, task.prompt


@pytest.mark.parametrize(
    ("entry", "wrong"),
    [
        ("count_above_5", ("x > 5", "x >= 5")),
        ("sum_even", ("x % 2 == 0", "x % 2 != 0")),
        ("all_positive", ("x > 0", "x >= 0")),
        ("longer_than_4", ("> 4", ">= 4")),
        ("larger", ("$max", "$min")),
    ],
)
def test_an_answer_off_by_one_fails(judge: Judge, entry: str, wrong: tuple[str, str]) -> None:
    task = _named(entry)
    before, after = (text.replace("$", "") for text in wrong)
    assert before in task.reference
    answer = Submission(task.id, task.prompt + task.reference.replace(before, after), task.problem)
    (verdict,) = judge.judge([answer])
    assert isinstance(verdict, Scored)
    assert verdict.compiled and not verdict.passed


def test_solutions_are_formatted_as_rustfmt_would(tmp_path: Path, solutions: list[Task]) -> None:
    rustfmt = shutil.which("rustfmt")
    if rustfmt is None or subprocess.run([rustfmt, "--version"], capture_output=True).returncode:
        pytest.skip("rustfmt is not installed")
    source = tmp_path / "all.rs"
    source.write_text("\n".join(task.prompt + task.reference for task in solutions))
    checked = subprocess.run([rustfmt, "--edition", "2021", "--check", source], capture_output=True, text=True)
    assert checked.stdout == ""


def test_prompts_are_a_doc_comment_and_an_open_signature() -> None:
    for family, task in _drawn(5):
        doc, signature = task.prompt.split("\n")
        assert re.fullmatch(r"/// [A-Z][a-z]+ .*\.", doc), doc
        assert re.fullmatch(rf"pub fn {task.problem.entry}(<.+>)?\(.+\) -> .+ {{", signature), signature
        assert task.reference.startswith("\n    ") and task.reference.endswith("\n}\n")
        assert task.instruction.startswith("Write a Rust function") and "$" not in task.prompt + task.instruction
        assert len(task.problem.cases) == 5, family


def test_hidden_cases_hold_the_empty_input() -> None:
    empty = {"&[i32]": [], "&str": ""}
    for _, task in _drawn(3):
        if len(task.problem.params) == 1 and task.problem.params[0] in empty:
            inputs = [case.args[0] for case in task.problem.cases]
            assert empty[task.problem.params[0]] in inputs, task.prompt


def test_no_prompt_and_no_function_belongs_to_two_families_or_splits() -> None:
    splits: dict[str, set[Split]] = defaultdict(set)
    owners: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for family in FAMILIES:
        rng = Random(family.name)
        for _ in range(300):
            draft = family.make(rng)
            owners[draft.entry, *draft.params.values()].add(family.name)
            splits[phrase(draft, rng).prompt].add(split_of(family, draft))
    assert [owner for owner in owners.values() if len(owner) > 1] == []
    assert [prompt for prompt, seen in splits.items() if len(seen) > 1] == []


def _drawn(count: int) -> Iterator[tuple[str, Task]]:
    for family in FAMILIES:
        rng = Random(f"drawn:{family.name}")
        for _ in range(count):
            task = make_task(family, family.make(rng), rng, 0)
            if task is not None:
                yield family.name, task


def _named(entry: str) -> Task:
    """The first task drawn whose function has that name, in its preferred style."""
    for family in FAMILIES:
        rng = Random(f"named:{family.name}")
        for _ in range(400):
            draft = family.make(rng)
            if draft.entry == entry and (task := make_task(family, draft, rng, 0, style=0)):
                return task
    raise AssertionError(f"no family draws {entry}")


def _constant(task: Task) -> Submission:
    """An answer that ignores its input."""
    value = "Default::default()"
    if task.problem.returns.startswith("Result"):
        value = "Err(String::new())"
    return Submission(task.id, f"{task.prompt}\n    {value}\n}}\n", task.problem)
