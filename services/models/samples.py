"""Answers that were written before: by `--generate-only`, or by anybody as JSON lines of task and completion."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from services.errors import UserError
from services.models.model import label_of
from trainer.corpus.atomic import atomic_file
from trainer.evaluation.evaluation import ModelFacts
from trainer.evaluation.evaluator import Subject
from trainer.evaluation.form import PromptForms
from trainer.evaluation.journal import Journal, read_generations
from trainer.evaluation.sample import Generation, Identity, Mode, plan_probes, plan_samples
from trainer.evaluation.settings import EvaluationSettings
from trainer.tasks.task import Task

_GENERATION = TypeAdapter(Generation)
TASK_KEYS, TEXT_KEYS = ("task", "task_id", "name"), ("completion", "text", "generation", "answer")
"""What others call the two fields that are needed."""
SUFFIX = ".generations.jsonl"


class SamplesError(UserError):
    """A file of samples can't be judged."""


class Asked(BaseModel):
    """Who wrote the generations beside it, and how they were asked for: `<label>.model.json`."""

    model_config = ConfigDict(frozen=True)

    subject: Subject
    settings: EvaluationSettings

    def save(self, out_dir: Path) -> None:
        """Write it."""
        with atomic_file(out_dir / f"{self.subject.label}.model.json") as file:
            file.write(self.model_dump_json(indent=1).encode())


@dataclass(frozen=True, slots=True)
class Stored:
    """Answers in a file, and what an evaluation of them is called."""

    subject: Subject
    settings: EvaluationSettings
    generations: tuple[Generation, ...]

    def hand_over(self, tasks: Sequence[Task], out_dir: Path) -> int:
        """Put those that belong to these tasks into the journal of `out_dir`; returns how many there are."""
        form_of = self.subject.forms.form_of
        plans = [
            plan
            for make in (plan_samples, plan_probes)
            for plan in make(tasks, self.settings, self.subject.identity, form_of)
        ]
        by_place = {(each.task, each.mode, each.index): each for each in self.generations}
        path = out_dir / f"{self.subject.label}{SUFFIX}"
        there, given = read_generations(path), 0
        with Journal[Generation](path) as journal:
            for plan in plans:
                found = by_place.get((plan.task.id, plan.mode, plan.index))
                given += found is not None
                if found is not None and plan.text_key not in there:
                    journal.append(replace(found, key=plan.text_key))
        return given


def read_stored(
    path: Path, tasks: Sequence[Task], settings: EvaluationSettings, judged_by: str, forms: PromptForms
) -> Stored:
    """Raises SamplesError, which names the line, if it can't be read or has answers to other tasks."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SamplesError(f"{path} can't be read: {error}") from error
    known, seen = {task.id for task in tasks}, Counter[str]()
    generations = []
    lines = text.splitlines()
    for number, line in enumerate(lines, 1):
        if line.strip() and not (number == len(lines) and not text.endswith("\n") and _is_torn(line)):
            generations.append(_generation(path, number, line, seen))
    if not generations:
        raise SamplesError(f'{path} has no samples. A line is such as {{"task": "ID", "completion": "..."}}.')
    ours = [each for each in generations if each.task in known]
    if not ours:
        raise SamplesError(
            f"{path} has {len(generations)} samples, and none is of a task that is asked: its first is of "
            f"{generations[0].task!r}. Give the bank that it was made with, and its splits."
        )
    asked = _asked(path)
    if asked is not None:
        subject = replace(asked.subject, identity=replace(asked.subject.identity, judged_by=judged_by))
        kept = {"extract": settings.extract, "clippy": settings.clippy, "ks": settings.ks}
        return Stored(subject, asked.settings.model_copy(update=kept), tuple(ours))
    most: dict[Mode, int] = defaultdict(int)
    for each in ours:
        most[each.mode] = max(most[each.mode], each.index + 1)
    settings = settings.model_copy(
        update={"samples_per_task": most[Mode.SAMPLED], "greedy": most[Mode.GREEDY] > 0, "latency_probes": 0}
    )
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    subject = Subject(
        label_of(path.name.removesuffix(".jsonl")), str(path), Identity(sha256, judged_by), forms,
        ModelFacts(kind="samples"),
    )  # fmt: skip
    return Stored(subject, settings, tuple(ours))


def _asked(path: Path) -> Asked | None:
    beside = path.with_name(f"{path.name.removesuffix(SUFFIX)}.model.json")
    if not path.name.endswith(SUFFIX) or not beside.exists():
        return None
    try:
        return Asked.model_validate_json(beside.read_bytes())
    except (OSError, ValidationError) as error:
        raise SamplesError(
            f"{beside} can't be read ({str(error).splitlines()[0]}): it says who wrote {path}."
        ) from error


def _generation(path: Path, number: int, line: str, seen: Counter[str]) -> Generation:
    try:
        record = json.loads(line)
        if isinstance(record, dict) and "key" in record and "text" in record:
            return _GENERATION.validate_python(record)
        task, text = _field(record, TASK_KEYS), _field(record, TEXT_KEYS)
    except ValueError as error:
        raise SamplesError(
            f"{path}:{number}: no sample ({str(error).splitlines()[0]}). A line is such as "
            '{"task": "ID", "completion": "..."}.'
        ) from error
    seen[task] += 1
    return Generation("", task, Mode.SAMPLED, seen[task] - 1, text, 0, False)


def _field(record: Any, names: Sequence[str]) -> str:
    if isinstance(record, Mapping):
        for name in names:
            if isinstance(value := record.get(name), str):
                return value
    raise ValueError(f"it needs {' or '.join(map(repr, names))} as text")


def _is_torn(line: str) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return True
    return False
