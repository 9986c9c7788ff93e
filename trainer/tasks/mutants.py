"""Known-wrong answers: a reference with one small change of meaning (mutation analysis, DeMillo et al. 1978).

A mutant that passes the hidden cases is put to many more: if it passes those too it is taken for equivalent, and says
nothing of the cases; else it escaped them. Pure but for the judge that is given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from random import Random

from tree_sitter import Node

from reward_farm.gate import parse, text
from reward_farm.problem import Submission
from reward_farm.verdict import Scored, Verdict
from trainer.tasks.cases import more_cases
from trainer.tasks.task import Task

MORE_CASES = 150
"""Cases that a mutant must pass to be taken for equivalent."""

JudgeMany = Callable[[Sequence[Submission]], Sequence[Verdict]]

OPERATORS = {
    "<": ("<=", ">="), "<=": ("<", ">"), ">": (">=", "<="), ">=": (">", "<"), "==": ("!=",), "!=": ("==",),
    "+": ("-",), "-": ("+",), "*": ("+",), "/": ("*",), "%": ("/",), "&&": ("||",), "||": ("&&",),
    "+=": ("-=",), "-=": ("+=",), "*=": ("+=",), "..": ("..=",), "..=": ("..",),
}  # fmt: skip
METHODS = {
    "max": "min", "min": "max", "any": "all", "all": "any", "sum": "product", "take": "skip", "skip": "take",
    "first": "last", "last": "first", "is_some": "is_none", "is_none": "is_some", "is_empty": "is_ascii",
    "starts_with": "ends_with", "ends_with": "starts_with", "to_uppercase": "to_lowercase",
    "to_lowercase": "to_uppercase", "is_uppercase": "is_lowercase", "is_lowercase": "is_uppercase",
    "take_while": "skip_while", "skip_while": "take_while", "position": "rposition", "find": "rfind",
    "is_alphabetic": "is_alphanumeric", "is_alphanumeric": "is_alphabetic", "split_first": "split_last",
    "pop_front": "pop_back", "saturating_sub": "wrapping_sub", "max_by_key": "min_by_key", "min_by_key": "max_by_key",
}  # fmt: skip
DROPPED_METHODS = frozenset(("rev", "trim", "abs", "sort", "sort_unstable", "dedup", "reverse"))
"""Calls without arguments that are left out."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """A task's file with one change, in words: `x > 5 -> x >= 5` at a byte."""

    task: Task
    source: str
    change: str


class Fate(StrEnum):
    """What became of a mutant."""

    KILLED = "killed"
    ESCAPED = "escaped"
    """It passes the hidden cases and fails others."""
    EQUIVALENT = "equivalent"
    """No case was found that it fails."""
    STILLBORN = "stillborn"
    """It does not compile, so it tests no case."""
    UNKNOWN = "unknown"
    """It passes, and its task has no family to draw more cases from; or a fault of ours came between."""


def mutants(task: Task, count: int, rng: Random) -> list[Mutant]:
    """Up to `count` mutants of a task's reference, each with another change."""
    source = task.solved.encode()
    start = len(task.prompt.encode()) if not task.answer else 0
    changes = [change for node in _nodes(parse(source)) if node.start_byte >= start for change in _changes(node)]
    rng.shuffle(changes)
    made: dict[bytes, Mutant] = {}
    for node, written in changes[: 4 * count]:
        mutated = source[: node.start_byte] + written.encode() + source[node.end_byte :]
        if mutated != source and len(made) < count:
            made.setdefault(mutated, Mutant(task, mutated.decode(), f"{text(node)} -> {written or 'nothing'}"))
    return list(made.values())


def fates(made: Sequence[Mutant], judge: JudgeMany) -> list[Fate]:
    """What becomes of each mutant."""
    first = judge([Submission(f"m{n}", each.source, each.task.problem) for n, each in enumerate(made)])
    found = [_first_fate(verdict) for verdict in first]
    doubtful: dict[int, Submission] = {}
    for number, (each, fate) in enumerate(zip(made, found, strict=True)):
        if fate is None and (cases := more_cases(each.task, MORE_CASES)):
            problem = replace(each.task.problem, cases=cases)
            doubtful[number] = Submission(f"more{number}", each.source, problem)
    again = dict(zip(doubtful, judge(list(doubtful.values())), strict=True)) if doubtful else {}
    return [fate or _second_fate(again.get(number)) for number, fate in enumerate(found)]


def kill_rate(found: Sequence[Fate]) -> float:
    """Killed mutants of those known to be wrong; 1 where there are none."""
    killed, escaped = (sum(fate is each for fate in found) for each in (Fate.KILLED, Fate.ESCAPED))
    return killed / (killed + escaped) if killed + escaped else 1.0


def _first_fate(verdict: Verdict) -> Fate | None:
    if not isinstance(verdict, Scored):
        return Fate.UNKNOWN
    if not verdict.compiled:
        return Fate.STILLBORN
    return None if verdict.passed else Fate.KILLED


def _second_fate(verdict: Verdict | None) -> Fate:
    if not isinstance(verdict, Scored):
        return Fate.UNKNOWN
    return Fate.EQUIVALENT if verdict.passed else Fate.ESCAPED


def _changes(node: Node) -> Iterator[tuple[Node, str]]:
    said, parent = text(node), node.parent
    if said in OPERATORS and not node.is_named and parent is not None and parent.type in _OPERATED:
        yield from ((node, other) for other in OPERATORS[said])
    elif node.type == "integer_literal" and said.isdigit():
        yield node, str(int(said) + 1)
        if int(said) > 0:
            yield node, str(int(said) - 1)
    elif node.type == "boolean_literal":
        yield node, "false" if said == "true" else "true"
    elif node.type == "unary_expression" and said.startswith("!"):
        yield node, said[1:]
    elif node.type == "field_identifier" and said in METHODS:
        yield node, METHODS[said]
    elif node.type == "char_literal" and len(said) == 3 and said[1].isalnum():
        yield node, "'q'" if said != "'q'" else "'z'"
    elif node.type == "string_literal" and len(said) > 2:
        yield node, f'"{said[1:-1]}~"'
    elif node.type == "if_expression" and (condition := node.child_by_field_name("condition")) is not None:
        if condition.type != "let_condition":
            yield condition, f"!({text(condition)})"
    elif node.type == "call_expression" and said.endswith("()"):
        function = node.child_by_field_name("function")
        if function is not None and function.type == "field_expression":
            name, value = (function.child_by_field_name(field) for field in ("field", "value"))
            if text(name) in DROPPED_METHODS:
                yield node, text(value)


_OPERATED = frozenset(("binary_expression", "compound_assignment_expr", "range_expression"))


def _nodes(node: Node) -> Iterator[Node]:
    yield node
    for child in node.children:
        yield from _nodes(child)
