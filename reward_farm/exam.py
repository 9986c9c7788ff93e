"""A problem's hidden cases, checked and encoded once. Pure."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass

from reward_farm.errors import BadValue
from reward_farm.problem import Problem, Value
from reward_farm.rust_type import RustType, parse_type
from reward_farm.wire import encode

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


_NO_CASES = Exam(RustType("tuple"), ())
_memory: OrderedDict[bytes, Exam] = OrderedDict()


def prepare(problem: Problem) -> Exam:
    """The exam of a problem. One without cases asks nothing, and its types may be any.

    Raises UnsupportedType or BadValue if the problem itself is malformed.
    """
    if not problem.cases:
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
    params, returns = [parse_type(kind) for kind in problem.params], parse_type(problem.returns)
    questions = []
    for case in problem.cases:
        if len(case.args) != len(params):
            raise BadValue(f"`{problem.entry}` takes {len(params)} arguments, but a case gives {len(case.args)}")
        arguments = b"".join(encode(kind, value) for kind, value in zip(params, case.args, strict=True))
        encode(returns, case.expected)
        questions.append(Question(arguments, case.expected))
    return Exam(returns, tuple(questions))
