"""A task as one line of JSON and back. Python values that JSON lacks are tagged objects: `{"tuple": [...]}`."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from reward_farm.problem import Case, Err, Ok, Problem, Value
from trainer.tasks.task import Form, Split, Task

SCHEMA = 1
"""Raised when a line's meaning changes; older files are then refused instead of misread."""


class Header(BaseModel):
    """First line of the file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[1]
    seed: int
    tasks: int


class TaskRecord(BaseModel):
    """Any other line."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    family: str
    split: Split
    prompt: str
    instruction: str
    reference: str
    entry: str
    params: tuple[str, ...]
    returns: str
    cases: tuple[tuple[list[Any], Any], ...]
    difficulty: float
    tags: tuple[str, ...]
    draw: str = ""
    assertions: str = ""
    form: Form = Form.COMPLETE
    suffix: str = ""
    answer: str = ""


def dump_task(task: Task) -> str:
    """One line of JSON, without its newline."""
    problem = task.problem
    return TaskRecord(
        id=task.id,
        family=task.family,
        split=task.split,
        prompt=task.prompt,
        instruction=task.instruction,
        reference=task.reference,
        entry=problem.entry,
        params=problem.params,
        returns=problem.returns,
        cases=tuple(([_pack(arg) for arg in case.args], _pack(case.expected)) for case in problem.cases),
        difficulty=task.difficulty,
        tags=task.tags,
        draw=task.draw,
        assertions=problem.assertions,
        form=task.form,
        suffix=task.suffix,
        answer=task.answer,
    ).model_dump_json()


def load_task(line: str) -> Task:
    """Raises ValueError (pydantic's included) for a line that `dump_task` can't have written."""
    record = TaskRecord.model_validate_json(line)
    cases = tuple(Case(tuple(map(_unpack, args)), _unpack(expected)) for args, expected in record.cases)
    return Task(
        id=record.id,
        family=record.family,
        split=record.split,
        prompt=record.prompt,
        instruction=record.instruction,
        reference=record.reference,
        problem=Problem(record.entry, record.params, record.returns, cases, record.assertions),
        difficulty=record.difficulty,
        tags=record.tags,
        draw=record.draw,
        form=record.form,
        suffix=record.suffix,
        answer=record.answer,
    )


def _pack(value: Value) -> Any:
    match value:
        case Ok(inner):
            return {"ok": _pack(inner)}
        case Err(inner):
            return {"err": _pack(inner)}
        case tuple():
            return {"tuple": [_pack(item) for item in value]}
        case dict():
            return {"map": [[_pack(key), _pack(item)] for key, item in value.items()]}
        case list():
            return [_pack(item) for item in value]
    return value


def _unpack(value: Any) -> Value:
    match value:
        case {"ok": inner}:
            return Ok(_unpack(inner))
        case {"err": inner}:
            return Err(_unpack(inner))
        case {"tuple": list(items)}:
            return tuple(map(_unpack, items))
        case {"map": list(items)}:
            return {_unpack(key): _unpack(item) for key, item in items}
        case list():
            return [_unpack(item) for item in value]
        case dict():
            raise ValueError(f"unknown tagged value {value!r:.80}")
    return value
