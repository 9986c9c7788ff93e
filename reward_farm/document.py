"""Problems and verdicts as JSON, for the faces of the farm: a dataset's column, a request's body, a file. Pure.

A problem names Rust types, so its values are written as serde would: tuples and sequences are arrays, unit is null or
[], `None` is null, `Ok(1)` is {"Ok": 1}, a map is an object, or an array of pairs where its keys are no strings.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from reward_farm.errors import BadProblem
from reward_farm.exam import prepare
from reward_farm.problem import Case, Err, Ok, Problem, Value
from reward_farm.rust_type import INTEGERS, RustType, parse_type
from reward_farm.verdict import InfraFault, Verdict

MOST_TYPE = 400
"""Characters of a Rust type. The parser of types is recursive, and a document may come from anybody."""

_MAPS = {"HashMap", "BTreeMap"}
_SEQUENCES = {"slice", "array", "Vec", "VecDeque", "HashSet", "BTreeSet"}
_ORDERINGS = {"Less": -1, "Equal": 0, "Greater": 1}
_FLOATS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
"""Numbers that strict JSON lacks."""
_FIELDS = {"entry", "params", "returns", "cases", "assertions"}


def read_problem(document: str | Mapping[str, Any]) -> Problem:
    """The problem of {"entry", "params", "returns", "cases": [{"args", "expected"}]}; without cases, the types may be
    left out. Other keys are ignored, so a dataset's row may be given whole.

    Raises:
        BadProblem: it is no such document.
        UnsupportedType, BadValue: it names a type, or holds a value, that can't cross into the sandbox.
    """
    if isinstance(document, str):
        try:
            document = json.loads(document)
        except ValueError as error:
            raise BadProblem(f"a problem must be JSON, and this is not: {error}") from error
    if not isinstance(document, Mapping):
        raise BadProblem(f"a problem is a JSON object, not {type(document).__name__}")
    entry, returns = _text(document, "entry"), _text(document, "returns", "()")
    params = document.get("params", ())
    if not _is_list(params) or not all(isinstance(kind, str) and len(kind) <= MOST_TYPE for kind in params):
        raise BadProblem('"params" must be a list of Rust types, such as ["&[i32]", "usize"]')
    cases = document.get("cases", ())
    if not _is_list(cases):
        raise BadProblem('"cases" must be a list of {"args": [...], "expected": ...}')
    if len(returns) > MOST_TYPE:
        raise BadProblem('"returns" must be a Rust type')
    problem = Problem(entry, tuple(params), returns, assertions=_text(document, "assertions", ""))
    if cases:
        kinds, answer = [parse_type(kind) for kind in params], parse_type(returns)
        problem = replace(problem, cases=tuple(_case(kinds, answer, case) for case in cases))
    prepare(problem)
    return problem


def write_problem(problem: Problem) -> dict[str, Any]:
    """The document of a problem: what `read_problem` reads."""
    kinds = [parse_type(kind) for kind in problem.params] if problem.cases else []
    document: dict[str, Any] = {"entry": problem.entry, "params": list(problem.params), "returns": problem.returns}
    if problem.cases:
        returns = parse_type(problem.returns)
        document["cases"] = [
            {
                "args": [_plain(kind, value) for kind, value in zip(kinds, case.args, strict=True)],
                "expected": _plain(returns, case.expected),
            }
            for case in problem.cases
        ]
    if problem.assertions:
        document["assertions"] = problem.assertions
    return document


def write_verdict(verdict: Verdict) -> dict[str, Any]:
    """A verdict as JSON. A fault of ours has the outcome "infra_fault" and a null reward, never 0."""
    if isinstance(verdict, InfraFault):
        return {"id": verdict.id, "outcome": "infra_fault", "reward": None, "reason": verdict.reason}
    fields = asdict(verdict)
    fields["reward_parts"] = fields.pop("reward")
    judged = {"parsed": verdict.parsed, "compiled": verdict.compiled, "passed": verdict.passed}
    return {"id": verdict.id, "outcome": str(verdict.outcome), "reward": verdict.reward.total, **judged} | fields


def _case(kinds: Sequence[RustType], returns: RustType, case: Any) -> Case:
    if not isinstance(case, Mapping) or not _is_list(case.get("args")) or "expected" not in case:
        raise BadProblem(f'a case is {{"args": [...], "expected": ...}}, not {case!s:.80}')
    if len(case["args"]) != len(kinds):
        raise BadProblem(f"a case gives {len(case['args'])} arguments where the function takes {len(kinds)}")
    args = tuple(_value(kind, value) for kind, value in zip(kinds, case["args"], strict=True))
    return Case(args, _value(returns, case["expected"]))


def _value(kind: RustType, value: Any) -> Value:
    """A JSON value as the Python value of a Rust type. What does not fit is left for `prepare` to refuse."""
    name = kind.name
    if name in ("ref", "Box"):
        return _value(kind.args[0], value)
    if name == "Option":
        return None if value is None else _value(kind.args[0], value)
    if name == "Result" and isinstance(value, Mapping) and len(value) == 1:
        [(arm, inner)] = value.items()
        if arm in ("Ok", "Err"):
            return Ok(_value(kind.args[0], inner)) if arm == "Ok" else Err(_value(kind.args[1], inner))
    if name == "tuple":
        if value is None:
            return ()
        if _is_list(value) and len(value) == len(kind.args):
            return tuple(_value(field, item) for field, item in zip(kind.args, value, strict=True))
    if name in _MAPS and isinstance(value, Mapping):
        return {_key(kind.args[0], key): _value(kind.args[1], item) for key, item in value.items()}
    if name in _MAPS and _is_list(value) and all(_is_list(pair) and len(pair) == 2 for pair in value):
        return {_hashable(_value(kind.args[0], key)): _value(kind.args[1], item) for key, item in value}
    if name in _SEQUENCES and _is_list(value):
        return [_value(kind.args[0], item) for item in value]
    if name in ("f32", "f64") and not isinstance(value, bool):
        return _FLOATS.get(value, value) if isinstance(value, str) else float(value) if _is_int(value) else value
    if name == "Ordering":
        return _ORDERINGS.get(value, value) if isinstance(value, str) else value
    return value  # type: ignore[no-any-return]


def _key(kind: RustType, key: str) -> Any:
    """JSON's keys are strings; those of integers are read as such."""
    while kind.name in ("ref", "Box"):
        kind = kind.args[0]
    digits = key.removeprefix("-")
    return int(key) if kind.name in INTEGERS and digits.isascii() and digits.isdigit() else key


def _plain(kind: RustType, value: Any) -> Any:
    name = kind.name
    if name in ("ref", "Box"):
        return _plain(kind.args[0], value)
    if name == "Option":
        return None if value is None else _plain(kind.args[0], value)
    if name == "Result":
        return {type(value).__name__: _plain(kind.args[isinstance(value, Err)], value.value)}
    if name == "tuple":
        return [_plain(field, item) for field, item in zip(kind.args, value, strict=True)]
    if name in _MAPS:
        return [[_plain(kind.args[0], key), _plain(kind.args[1], item)] for key, item in value.items()]
    if name in _SEQUENCES:
        items = sorted(value) if isinstance(value, (set, frozenset)) else value
        return [_plain(kind.args[0], item) for item in items]
    if isinstance(value, float) and not math.isfinite(value):
        return next(
            text for text, number in _FLOATS.items() if number == value or (number != number) is (value != value)
        )
    return value


def _hashable(value: Value) -> Any:
    return tuple(map(_hashable, value)) if isinstance(value, list) else value


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes))


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _text(document: Mapping[str, Any], name: str, default: str | None = None) -> str:
    value = document.get(name, default)
    if value is None and default is not None:
        return default
    if not isinstance(value, str):
        raise BadProblem(f'a problem needs "{name}", as text')
    return value
