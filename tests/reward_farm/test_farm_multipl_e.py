"""MultiPL-E's Rust problems as assertions, where FERROTYPE_MULTIPL_E names a folder with them. None are kept here."""

from __future__ import annotations

import itertools
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest
from many_judges import ManyJudges

from reward_farm.problem import Problem, Submission
from reward_farm.settings import FarmSettings
from reward_farm.verdict import Outcome, Scored

FOLDER = os.environ.get("FERROTYPE_MULTIPL_E", "")
_MAIN = re.compile(r"fn main\(\) \{\n(.*)\n\}\s*$", re.DOTALL)

pytestmark = pytest.mark.skipif(not FOLDER, reason="FERROTYPE_MULTIPL_E names no folder with multipl_e_*.jsonl")


@dataclass(frozen=True)
class Record:
    """A benchmark's problem, and an answer that is known to pass under plain rustc."""

    id: str
    problem: Problem
    answer: str
    unanswered: str
    keeps: bool
    """The answer has the types that the prompt asked for. Some have others, which plain assertions let pass."""

    @property
    def plain(self) -> Problem:
        """As strict as plain rustc, but that values must be of std's types."""
        return Problem(self.problem.entry, (), "", (), self.problem.assertions)


def _records() -> list[Record]:
    rows = [
        json.loads(line)
        for file in sorted(Path(FOLDER).glob("multipl_e_*.jsonl"))
        for line in file.read_text().splitlines()
    ]
    return [_record(row) for row in rows if row["canonical_solution"] and row["verified"]]


def _record(row: dict[str, str]) -> Record:
    main = _MAIN.search(row["test"])
    assert main
    head, _, returns = row["signature"].partition("->")
    params = tuple(
        parameter.split(":", 1)[1].strip() for parameter in _parted(head[head.index("(") + 1 : head.rindex(")")])
    )
    imports = [line for line in (row["prelude"] + row["prompt"]).splitlines() if line.startswith("use ")]
    assertions = "\n".join([*imports, main[1]])
    problem = Problem(row["entry_point"], params, returns.strip() or "()", assertions=assertions)
    answer, unanswered = row["canonical_solution"], row["prompt"] + "    todo!()\n}\n"
    return Record(row["task_id"], problem, answer, unanswered, _squeezed(row["signature"]) in _squeezed(answer))


def _squeezed(text: str) -> str:
    return "".join(text.replace("mut ", "").split())


def _parted(params: str) -> Iterator[str]:
    """The parameters, by the commas outside of brackets."""
    depth, piece = 0, ""
    for char in params + ",":
        depth += (char in "<([") - (char in ">)]")
        if char == "," and depth == 0:
            if piece.strip():
                yield piece
            piece = ""
        else:
            piece += char


@pytest.mark.parametrize("share", [0.1, pytest.param(1.0, marks=[pytest.mark.nightly, pytest.mark.timeout(1800)])])
def test_known_answers_pass_and_none_is_no_answer(share: float, settings: FarmSettings) -> None:
    records = _records()
    assert len(records) > 400
    records = Random(0).sample(records, round(len(records) * share))
    # Known answers of others' problems have the right types at best.
    others = [(one, two) for one, two in itertools.pairwise(records) if one.problem.entry != two.problem.entry]
    stolen = [Submission(f"{one.id} by {two.id}", _renamed(two, one.problem.entry), one.problem) for one, two in others]
    kept = [record for record in records if record.keeps]
    assert len(kept) > len(records) * 0.9
    typed = [Submission(f"{record.id}, typed", record.answer, record.problem) for record in kept]
    plain = [Submission(record.id, record.answer, record.plain) for record in records]
    empty = [Submission(f"{record.id}, todo", record.unanswered, record.problem) for record in records]
    empty += [Submission(f"{record.id}, plain todo", record.unanswered, record.plain) for record in records]
    with ManyJudges() as judges:
        right, wrong = typed + plain, empty + stolen
        verdicts = judges.judge(settings, right + wrong)
    failed = {verdict.id: verdict for verdict in verdicts[: len(right)] if not getattr(verdict, "passed", False)}
    assert not failed
    for verdict in verdicts[len(right) :]:
        assert isinstance(verdict, Scored), verdict
        assert not verdict.passed, verdict
        assert verdict.reward.tests == 0.0
    todo = {
        verdict.outcome for verdict in verdicts[len(right) : len(right) + len(empty)] if isinstance(verdict, Scored)
    }
    assert todo == {Outcome.TEST_FAILED}
    assert not any(isinstance(verdict, Scored) and verdict.oracle_outside for verdict in verdicts)


def _renamed(record: Record, entry: str) -> str:
    return re.sub(rf"\b{re.escape(record.problem.entry)}\b", entry, record.answer)
