"""The bank: repeatable, split without leaks, and whole or refused on disk."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from trainer.tasks.bank import TaskBank, build_bank
from trainer.tasks.document import training_documents
from trainer.tasks.errors import TaskBankError
from trainer.tasks.families import FAMILIES
from trainer.tasks.record import dump_task, load_task
from trainer.tasks.task import Split
from trainer.tasks.wording import prompt_hash


@pytest.fixture(scope="module")
def bank() -> TaskBank:
    return build_bank(seed=3, train_per_family=12, unseen_tasks_per_family=6, unseen_family_tasks=12)


def test_the_same_seed_builds_the_same_bank(bank: TaskBank) -> None:
    assert build_bank(3, 12, 6, 12) == bank
    assert build_bank(4, 12, 6, 12) != bank


def test_every_family_is_in_its_split(bank: TaskBank) -> None:
    trained = Counter(task.family for task in bank.tasks(Split.TRAIN))
    unseen = Counter(task.family for task in bank.tasks(Split.UNSEEN_FAMILIES))
    assert set(unseen) == {family.name for family in FAMILIES if family.split is Split.UNSEEN_FAMILIES}
    assert set(trained) == {family.name for family in FAMILIES if family.split is Split.TRAIN}
    assert min(trained.values()) == min(unseen.values()) == 12
    assert len(trained) >= 25 and len(unseen) >= 5
    assert len(bank.tasks(Split.UNSEEN_TASKS)) >= 200


def test_nothing_evaluated_on_is_trained_on(bank: TaskBank) -> None:
    """Neither by this bank, nor by another seed's, nor by the training documents."""
    held_out = {prompt_hash(task.prompt) for task in bank.all if task.split is not Split.TRAIN}
    unseen_families = {family.name for family in FAMILIES if family.split is Split.UNSEEN_FAMILIES}
    documents = list(training_documents(seed=9, count=20_000))
    trained = {prompt_hash(task.prompt) for seed in (3, 5) for task in build_bank(seed, 12, 6, 12).tasks(Split.TRAIN)}
    trained |= {prompt_hash(document.prompt) for document in documents}
    assert not held_out & trained
    assert not unseen_families & {document.family for document in documents}


def test_a_bank_reads_back_as_it_was_written(bank: TaskBank, tmp_path: Path) -> None:
    bank.save(tmp_path / "data" / "tasks.jsonl")
    assert TaskBank.load(tmp_path / "data" / "tasks.jsonl") == bank
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["tasks.jsonl"], "nothing is left beside it"


def test_lines_keep_the_types_of_values(bank: TaskBank) -> None:
    for task in bank.all:
        copy = load_task(dump_task(task))
        assert repr(copy) == repr(task), "equal is not enough: 1 == True and 1 == 1.0"


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (lambda line: line[: len(line) // 2], ":3: "),
        (lambda line: json.dumps({**json.loads(line), "split": "test"}), ":3: .*split"),
        (lambda line: json.dumps({**json.loads(line), "surprise": 1}), ":3: .*surprise"),
        (lambda line: json.dumps({**json.loads(line), "cases": [[[{"what": 1}], 2]]}), ":3: .*what"),
    ],
)
def test_a_corrupt_line_is_named(bank: TaskBank, tmp_path: Path, damage, complaint: str) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "tasks.jsonl"
    bank.save(path)
    lines = path.read_text().splitlines()
    lines[2] = damage(lines[2])
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(TaskBankError, match=complaint):
        TaskBank.load(path)


def test_a_truncated_a_foreign_and_a_missing_file_are_refused(bank: TaskBank, tmp_path: Path) -> None:
    path = tmp_path / "tasks.jsonl"
    bank.save(path)
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[:-5]) + "\n")
    with pytest.raises(TaskBankError, match="build it again"):
        TaskBank.load(path)
    path.write_text("\n".join([lines[0].replace('"schema_version":1', '"schema_version":2'), *lines[1:]]))
    with pytest.raises(TaskBankError, match=r":1: .*schema_version"):
        TaskBank.load(path)
    with pytest.raises(TaskBankError, match=r"nowhere\.jsonl"):
        TaskBank.load(tmp_path / "nowhere.jsonl")


def test_a_sample_is_spread_over_families(bank: TaskBank) -> None:
    sample = bank.sample(Split.TRAIN, 66, seed=1)
    assert sample == bank.sample(Split.TRAIN, 66, seed=1)
    assert Counter(task.family for task in sample).most_common(1)[0][1] == 1
    assert len(bank.sample(Split.UNSEEN_FAMILIES, 10_000)) == len(bank.tasks(Split.UNSEEN_FAMILIES))
