"""A case's value as a Rust expression, for yardsticks that keep the expected answers in the test itself. Pure."""

from __future__ import annotations

import math

from reward_farm.problem import Case, Err, Ok, Problem, Value
from reward_farm.rust_type import INTEGERS, RustType, parse_type

_SETS = ("HashSet", "BTreeSet")
_MAPS = ("HashMap", "BTreeMap")


def assertion(problem: Problem, case: Case) -> str:
    """`assert_eq!(entry(args), expected);`"""
    args = ", ".join(literal(parse_type(kind), value) for kind, value in zip(problem.params, case.args, strict=True))
    return f"assert_eq!({problem.entry}({args}), {literal(parse_type(problem.returns), case.expected)});"


def literal(kind: RustType, value: Value) -> str:
    """An expression of that type. Raises ValueError for types that no task of ours has."""
    name, args = kind.name, kind.args
    match name, value:
        case _, int() if name in INTEGERS:
            return f"{value}{name}" if value >= 0 else f"({value}{name})"
        case (("f32" | "f64"), (int() | float())) if math.isfinite(value):
            return f"({float(value)!r}{name})"
        case "bool", bool():
            return str(value).lower()
        case "char", str():
            return f"'{_escaped(value, chr(39))}'"
        case "str", str():
            return f'"{_escaped(value, chr(34))}"'
        case "String", str():
            return f'String::from("{_escaped(value, chr(34))}")'
        case "ref", _:
            inner = literal(args[0], value)
            return inner if args[0].name == "str" else f"&{inner}"
        case "Box", _:
            return f"Box::new({literal(args[0], value)})"
        case "Option", _:
            return "None" if value is None else f"Some({literal(args[0], value)})"
        case "Result", (Ok() | Err()):
            failed = isinstance(value, Err)
            return f"{'Err' if failed else 'Ok'}({literal(args[failed], value.value)})"
        case "tuple", tuple():
            fields = [literal(field, item) for field, item in zip(args, value, strict=True)]
            return f"({', '.join(fields)}{',' * (len(fields) == 1)})"
        case "Ordering", int():
            return f"std::cmp::Ordering::{('Less', 'Equal', 'Greater')[value + 1]}"
        case _, dict() if name in _MAPS:
            pairs = ", ".join(f"({literal(args[0], key)}, {literal(args[1], item)})" for key, item in value.items())
            return f"std::collections::{name}::from([{pairs}])"
        case _, list():
            items = ", ".join(literal(args[0], item) for item in value)
            if name in _SETS:
                return f"std::collections::{name}::from([{items}])"
            if name == "Vec":  # `== vec![]` leaves the type of its items open
                return f"vec![{items}]" if value else f"<{kind}>::new()"
            return f"[{items}]"
    raise ValueError(f"{value!r} of type {kind} has no literal")


def _escaped(text: str, quote: str) -> str:
    escaped = "".join(
        f"\\u{{{ord(char):x}}}" if not char.isprintable() else char for char in text.replace("\\", "\\\\")
    )
    return escaped.replace(quote, f"\\{quote}")
