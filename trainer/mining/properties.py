"""Property tests of a function: random inputs, and what the original answers to them, as assertions."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Iterator, Sequence
from random import Random

from reward_farm.errors import FarmError
from reward_farm.exam import prepare
from reward_farm.problem import Case, Problem, Submission, Value
from reward_farm.verdict import Scored, Verdict
from trainer.mining.crate import Documented
from trainer.tasks.inputs import split_types, value

INPUTS = 8
"""Asked of the original; those that it panics at are left out."""

JudgeMany = Callable[[Sequence[Submission]], Sequence[Verdict]]


def questions(found: Documented, seed: int) -> Problem | None:
    """Random inputs with answers that only have the right type; None where the types can't cross into the sandbox."""
    rng = Random(f"{found.name}:{found.signature}:{seed}")
    try:
        drawn = [tuple(value(rng, each) for each in found.params) for _ in range(INPUTS)]
        args = list({repr(each): each for each in drawn}.values())
        problem = Problem(
            found.name, found.params, found.returns, tuple(Case(each, value(rng, found.returns)) for each in args)
        )
        prepare(problem)
    except (ValueError, FarmError):
        return None
    return problem


def properties(problem: Problem, verdict: Verdict) -> str:
    """The assertions that the original's answers make; empty if there are none, or all are the same."""
    if not isinstance(verdict, Scored):
        return ""
    answered = list(_answers(problem, verdict))
    if len({repr(answer) for _, answer in answered}) < 2:
        return ""
    asserted = []
    for args, answer in answered:
        pairs = zip(args, problem.params, strict=True)
        call = f"{problem.entry}({', '.join(literal(each, kind) for each, kind in pairs)})"
        asserted.append(f"{{ let wanted: {problem.returns} = {literal(answer, problem.returns)}; "
                        f"assert_eq!({call}, wanted); }}")  # fmt: skip
    return "\n".join(asserted)


def _answers(problem: Problem, verdict: Scored) -> Iterator[tuple[tuple[Value, ...], Value]]:
    for case, result in zip(problem.cases, verdict.cases, strict=False):
        if result.status == "passed":
            yield case.args, case.expected
        elif result.status == "failed" and result.got is not None:
            try:
                answer = ast.literal_eval(result.got)
            except (ValueError, SyntaxError):  # too long to be shown whole, or not finite
                continue
            if not (isinstance(answer, float) and not math.isfinite(answer)):
                yield case.args, answer


def literal(given: Value, rust_type: str) -> str:
    """A value of a type of `trainer.tasks.inputs` as Rust source."""
    inner = rust_type.partition("<")[2].removesuffix(">")
    if rust_type.startswith("&["):
        return f"&[{', '.join(literal(each, rust_type[2:-1]) for each in given)}]"  # type: ignore[union-attr]
    if rust_type.startswith("Vec<"):
        return f"vec![{', '.join(literal(each, inner) for each in given)}]"  # type: ignore[union-attr]
    if rust_type.startswith("Option<"):
        return "None" if given is None else f"Some({literal(given, inner)})"
    if rust_type.startswith("("):
        kinds = split_types(rust_type[1:-1])
        return f"({''.join(f'{literal(a, b)}, ' for a, b in zip(given, kinds, strict=True))})"  # type: ignore[arg-type]
    if isinstance(given, bool):
        return str(given).lower()
    if isinstance(given, str):
        escaped = "".join(
            c if c.isascii() and c.isprintable() and c not in "\\\"'" else f"\\u{{{ord(c):x}}}" for c in given
        )
        return (
            f"'{escaped}'"
            if rust_type == "char"
            else f'"{escaped}"' + (".to_string()" if rust_type == "String" else "")
        )
    return f"({given!r})" if isinstance(given, (int, float)) and given < 0 else repr(given)
