"""Parses the Rust types that a `Problem` names into a small tree. Knows nothing of bytes or values."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from reward_farm.errors import UnsupportedType

INTEGERS = {
    f"{sign}{bits}": (bits, sign == "i") for sign in ("i", "u") for bits in (8, 16, 32, 64, 128)
} | {"isize": (64, True), "usize": (64, False)}  # fmt: skip
"""Bits and signedness."""
SCALARS = {*INTEGERS, "f32", "f64", "bool", "char", "str", "String"}

PATHS = {
    "String": "::std::string::String",
    "Vec": "::std::vec::Vec",
    "VecDeque": "::std::collections::VecDeque",
    "Option": "::core::option::Option",
    "Result": "::core::result::Result",
    "Box": "::std::boxed::Box",
    "HashMap": "::std::collections::HashMap",
    "BTreeMap": "::std::collections::BTreeMap",
    "HashSet": "::std::collections::HashSet",
    "BTreeSet": "::std::collections::BTreeSet",
    "Ordering": "::core::cmp::Ordering",
}
ARITY = {"Vec": 1, "VecDeque": 1, "Option": 1, "Box": 1, "HashSet": 1, "BTreeSet": 1,
         "Result": 2, "HashMap": 2, "BTreeMap": 2, "Ordering": 0, "String": 0}  # fmt: skip
_TOKEN = re.compile(r"\s*(?:('[a-z_]\w*)|((?:\w+::)*\w+)|([&\[\]();,<>]))")


@dataclass(frozen=True, slots=True)
class RustType:
    """`name` is a scalar, a std container, or one of `ref`, `slice`, `array` (with `length`) and `tuple`."""

    name: str
    args: tuple[RustType, ...] = ()
    length: int = 0

    def __str__(self) -> str:
        """The type as trusted Rust code writes it: full paths, no lifetimes."""
        match self.name:
            case "ref":
                return f"&{self.args[0]}"
            case "slice":
                return f"[{self.args[0]}]"
            case "array":
                return f"[{self.args[0]}; {self.length}]"
            case "tuple":
                return "(" + "".join(f"{arg}, " for arg in self.args) + ")"
        generics = f"<{', '.join(map(str, self.args))}>" if self.args else ""
        return PATHS.get(self.name, self.name) + generics


@lru_cache(maxsize=4096)
def parse_type(text: str) -> RustType:
    """`&[(String, i32)]` and the like as a tree.

    Raises UnsupportedType for what has no wire form: `&mut`, `impl`, `dyn`, functions, user types.
    """
    tokens = _tokens(text)
    parsed = _parse(tokens, text)
    if tokens:
        raise _unsupported(text, f"`{tokens[0]}` was not expected")
    return parsed


def _tokens(text: str) -> list[str]:
    tokens, end = [], 0
    stripped = text.strip()
    while end < len(stripped):
        match = _TOKEN.match(stripped, end)
        if not match:
            raise _unsupported(text, f"`{stripped[end]}` was not expected")
        end = match.end()
        if not match[1]:  # lifetimes say nothing about the value
            tokens.append(match[2] or match[3])
    return tokens


def _parse(tokens: list[str], text: str) -> RustType:
    head = _next(tokens, text)
    if head == "&":
        if tokens[:1] == ["mut"]:
            raise _unsupported(text, "a `&mut` argument can't carry an answer; return the value")
        return RustType("ref", (_parse(tokens, text),))
    if head == "[":
        item = _parse(tokens, text)
        if _next(tokens, text) == "]":
            return RustType("slice", (item,))
        length = _next(tokens, text)
        if not length.isdigit() or _next(tokens, text) != "]":
            raise _unsupported(text, "an array's length must be a literal")
        return RustType("array", (item,), int(length))
    if head == "(":
        return RustType("tuple", _list(tokens, ")", text))
    name = head.rsplit("::", 1)[-1]
    if name in SCALARS and name not in ARITY:
        return RustType(name)
    if name not in ARITY:
        raise _unsupported(text, f"`{name}` has no wire form")
    args: tuple[RustType, ...] = ()
    if tokens[:1] == ["<"]:
        tokens.pop(0)
        args = _list(tokens, ">", text)
    if len(args) != ARITY[name]:
        raise _unsupported(text, f"`{name}` takes {ARITY[name]} type arguments")
    return RustType(name, args)


def _list(tokens: list[str], close: str, text: str) -> tuple[RustType, ...]:
    items: list[RustType] = []
    while tokens[:1] != [close]:
        items.append(_parse(tokens, text))
        if tokens[:1] == [","]:
            tokens.pop(0)
        elif tokens[:1] != [close]:
            raise _unsupported(text, f"`{close}` is missing")
        elif close == ")" and len(items) == 1:
            raise _unsupported(text, "write `(T,)` for a tuple of one")
    tokens.pop(0)
    return tuple(items)


def _next(tokens: list[str], text: str) -> str:
    if not tokens:
        raise _unsupported(text, "the type ends too early")
    return tokens.pop(0)


def _unsupported(text: str, why: str) -> UnsupportedType:
    return UnsupportedType(
        f"the Rust type `{text}` can't cross into the sandbox: {why}. Use integers, floats, bool, char, strings, "
        "slices, Vec, arrays, tuples, Option, Result, maps, sets or Ordering"
    )
