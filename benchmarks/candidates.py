"""Real, varied candidates: references of all families of tasks in all styles, and mutations of them. Pure, seeded."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from random import Random

from reward_farm.gate import Parsed, examine
from reward_farm.problem import Problem
from trainer.tasks.families import FAMILIES
from trainer.tasks.wording import make_task

_TOKEN = re.compile(
    r"//[^\n]*|/\*.*?\*/|\s+|r\"[^\"]*\"|\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])'|'\w+|\w+|::|->|=>|\.\.=|\.\.|&&|\|\||"
    r"[-+*/%<>=!|&]=|.",
    re.DOTALL,
)
_WORD = re.compile(r"[A-Za-z_]\w*$")
_TYPES = ("i32", "i64", "u8", "u32", "u64", "usize", "f64", "bool", "char", "String", "&str", "Vec<i32>", "Option<i64>")
_OPERATORS = ("+", "-", "*", "/", "%", "<", ">", "<=", ">=", "==", "!=", "&&", "||", "=", "+=", "&", "?", ";", "!")
_METHODS = (
    "iter",
    "into_iter",
    "map",
    "filter",
    "sum",
    "count",
    "len",
    "max",
    "unwrap",
    "clone",
    "collect",
    "rev",
    "abs",
)
_PIECES = (
    ".unwrap()", ".clone()", "?", " as u8", "&", "*", "&mut ", "mut ", " + 1", "return ", "0 - ", "todo!()", ";",
    "let extra = 1;", "use std::collections::HashMap;", "#[inline]",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Candidate:
    """A source file and what it is judged against."""

    source: str
    problem: Problem


def references(seed: int) -> Iterator[Candidate]:
    """Right answers without end, family by family; no text comes twice."""
    rng = Random(f"references:{seed}")
    seen: set[str] = set()
    for family in cycle(FAMILIES):
        draft = family.make(rng)
        task = make_task(family, draft, rng, seed, rng.randrange(len(draft.bodies)))
        if task is not None:
            candidate = Candidate(task.prompt + task.reference, task.problem)
            if candidate.source not in seen:
                seen.add(candidate.source)
                yield candidate


def mixed(seed: int, share_mutated: float = 0.7) -> Iterator[Candidate]:
    """References, most of them with mutations, as a half-trained model writes them; few don't parse."""
    rng = Random(f"mixed:{seed}")
    for candidate in references(seed):
        source = candidate.source
        if rng.random() < share_mutated:
            source = mutate(source, rng)
            if rng.random() < 0.4:
                source = mutate(source, rng)
            while not _parses(source, candidate) and rng.random() < 0.9:
                source = mutate(candidate.source, rng)
        yield Candidate(source, candidate.problem)


def _parses(source: str, candidate: Candidate) -> bool:
    return isinstance(examine(source, candidate.problem.entry, 1 << 16), Parsed)


def mutate(source: str, rng: Random) -> str:
    """One change such as a person or a model makes by mistake."""
    tokens = _TOKEN.findall(source)
    at = rng.choice(
        [at for at, token in enumerate(tokens) if not token.isspace() and not token.startswith("//")] or [0]
    )
    before, token, after = tokens[:at], tokens[at], tokens[at + 1 :]
    match rng.choices(("exchange", "insert", "delete", "repeat", "line", "cut"), (12, 3, 2, 1, 2, 1))[0]:
        case "exchange":
            changed = [*before, _another(token, tokens, rng), *after]
        case "insert":
            changed = [*before, rng.choice(_PIECES), token, *after]
        case "delete":
            changed = [*before, *after]
        case "repeat":
            changed = [*before, token, " ", token, *after]
        case "line":
            lines = source.split("\n")
            line = rng.randrange(len(lines))
            changed = ["\n".join(lines[:line] + lines[line : line + 1] * rng.choice((0, 2)) + lines[line + 1 :])]
        case _:
            changed = [*tokens[: max(at, len(tokens) // 2)], "\n"]
    return "".join(changed)


def _another(token: str, tokens: Sequence[str], rng: Random) -> str:
    """A type for a type, an operator for an operator, a method or name for a name, a number for a number."""
    if token in _TYPES or token in ("Vec", "Option", "str"):
        return rng.choice(_TYPES)
    if token in _OPERATORS:
        return rng.choice(_OPERATORS)
    if token.isdigit():
        return rng.choice(("0", "1", "2", "10", "1.5", "300", "1u8", '"1"'))
    if _WORD.match(token):
        return rng.choice(_METHODS if rng.random() < 0.4 else [token for token in tokens if _WORD.match(token)])
    return rng.choice("(){}[];:,.&")
