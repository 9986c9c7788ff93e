"""A problem's hidden cases or assertions, checked and encoded once. Pure."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass

from reward_farm.assertions import prepare_assertions
from reward_farm.errors import BadValue
from reward_farm.problem import Problem, Value
from reward_farm.rust_type import RustType, parse_type
from reward_farm.wire import MAX_ANSWER, encode

_REMEMBERED = 4096  # problems; a group's samples share one


@dataclass(frozen=True, slots=True)
class Question:
    """One hidden case: what goes into the sandbox, and what never does."""

    arguments: bytes
    expected: Value


@dataclass(frozen=True, slots=True)
class Exam:
    """The questions that one function is asked, and the type of its answers."""

    returns: RustType
    questions: tuple[Question, ...]
    controls: tuple[Question, ...] = ()
    """Asked of who answered all: each must make a right answer panic."""
    statements: str = ""
    """A problem's assertions as the glue runs them."""


def is_typed(problem: Problem) -> bool:
    """The types of its function are given. Cases need them; a function of nothing that returns nothing looks the same
    as one whose types are left out."""
    return bool(problem.params) or problem.returns not in ("", "()")


_NO_CASES = Exam(RustType("tuple"), ())
_memory: OrderedDict[bytes, Exam] = OrderedDict()


def prepare(problem: Problem) -> Exam:
    """The exam of a problem. One without cases asks nothing, and its types may be any.

    Raises UnsupportedType or BadValue if the problem itself is malformed.
    """
    if not problem.runs:
        return _NO_CASES
    key = hashlib.blake2b(repr(problem).encode(errors="replace"), digest_size=16).digest()
    if key not in _memory:
        _memory[key] = _prepare(problem)
        if len(_memory) > _REMEMBERED:
            _memory.popitem(last=False)
    _memory.move_to_end(key)
    return _memory[key]


def _prepare(problem: Problem) -> Exam:
    if not problem.entry.isidentifier():
        raise BadValue(f"`{problem.entry}` is no name of a Rust function")
    if problem.assertions:
        return _asserted(problem)
    params, returns = [parse_type(kind) for kind in problem.params], parse_type(problem.returns)
    questions = []
    for case in problem.cases:
        if len(case.args) != len(params):
            raise BadValue(f"`{problem.entry}` takes {len(params)} arguments, but a case gives {len(case.args)}")
        arguments = b"".join(encode(kind, value) for kind, value in zip(params, case.args, strict=True))
        if len(encode(returns, case.expected)) > MAX_ANSWER:
            raise BadValue(f"an answer of `{problem.entry}` is larger than the {MAX_ANSWER} bytes that are read of one")
        questions.append(Question(arguments, case.expected))
    return Exam(returns, tuple(questions))


def _asserted(problem: Problem) -> Exam:
    """One question, answered `true` if all assertions hold, and controls with one of them turned round."""
    if problem.cases:
        raise BadValue(f"the problem of `{problem.entry}` has both cases and assertions; give one of them")
    typed = is_typed(problem)
    for kind in (*problem.params, problem.returns) if typed else ():
        parse_type(kind)
    asserted = prepare_assertions(problem.assertions, problem.entry, typed)
    number = parse_type("u32")
    straight, *turned = (Question(encode(number, n), True) for n in range(asserted.controls + 1))
    return Exam(parse_type("bool"), (straight,), tuple(turned), asserted.statements)
