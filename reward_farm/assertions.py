"""Third parties' assertions as the glue runs them: pinned to std's types, and each fit to be turned round. Pure.

A process that ends well proves nothing by itself, for hostile code may have ended it, or compared by a rule of its own.
So some of the assertions can be turned round one at a time: where the answers are right, it then must panic.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from tree_sitter import Node

from reward_farm.errors import BadValue
from reward_farm.gate import parse, text

MAX_CONTROLS = 3
"""Assertions that are turned round, a process each: the first, one in the middle and the last."""
_OPPOSITE = {"assert_eq": "assert_ne", "assert_ne": "assert_eq", "assert": "assert"}


@dataclass(frozen=True, slots=True)
class Assertions:
    """Statements that call `rf_control()`, which says which assertion is turned round: 1 to `controls`, or 0 for none.

    Those of a problem without types also call `rf_std`, which takes nothing but values of std's types.
    """

    statements: str
    controls: int


def prepare_assertions(statements: str, entry: str, typed: bool) -> Assertions:
    """The assertions of a problem whose function is `entry`.

    Raises BadValue if they are no Rust statements, or if nothing in them could show that they bite.
    """
    head = "fn main() {\n"
    source = f"{head}{statements}\n}}\n".encode()
    root = parse(source)
    if root.has_error or len(root.children) != 1:
        raise BadValue("the assertions are not Rust statements")
    if not re.search(rf"\b{re.escape(entry)}\b", statements):
        raise BadValue(f"the assertions never call `{entry}`")
    found = [node for node in _nodes(root) if node.type == "macro_invocation" and _name(node) in _OPPOSITE]
    found.sort(key=lambda node: node.start_byte)
    if not typed and any(_name(node) == "assert" for node in found):
        raise BadValue("`assert!` believes a type that equals everything: give `params` and `returns`")
    able = [node for node in found if _turned(node, typed)]
    if not able:
        raise BadValue("the assertions hold no assert!, assert_eq! or assert_ne!, so nothing shows that they bite")
    controls = list(dict.fromkeys((able[0], able[len(able) // 2], able[-1])))[:MAX_CONTROLS]
    written = source
    for node in reversed(found):
        straight = _written(_name(node), _pinned(node, typed))
        if node in controls:
            number = controls.index(node) + 1
            straight = f"if rf_control() == {number} {{ {_turned(node, typed)}; }} else {{ {straight}; }}"
        written = written[: node.start_byte] + straight.encode() + written[node.end_byte :]
    return Assertions(written.decode()[len(head) : -len("\n}\n")], len(controls))


def _turned(node: Node, typed: bool) -> str:
    """The assertion that panics where this one holds; empty if it can't be told."""
    name = _name(node)
    if name != "assert":
        return _written(_OPPOSITE[name], _pinned(node, typed))
    condition, _ = _first(node)
    return f"assert!(!({condition}))" if condition else ""


def _pinned(node: Node, typed: bool) -> str:
    """The arguments. Without the function's types, what is compared must be of types of std's, on both sides.

    `*rf_std(&(a))` is `a` itself, neither moved nor copied.
    """
    if typed:
        return _arguments(node)
    first, rest = _first(node)
    second, message = _until_comma(rest)
    if not second:
        raise BadValue(f"`{text(node):.80}` does not compare two values")
    return f"*rf_std(&({first})), *rf_std(&({second}))" + (f", {message}" if message else "")


def _first(node: Node) -> tuple[str, str]:
    """The first argument and what follows its comma. A comma may stand within generics, so it must parse as a whole."""
    return _until_comma(_arguments(node))


def _until_comma(arguments: str) -> tuple[str, str]:
    at = -1
    while True:
        at = arguments.find(",", at + 1)
        piece = arguments if at < 0 else arguments[:at]
        if piece.strip() and not parse(f"fn f() {{ ({piece}); }}".encode()).has_error:
            return piece.strip(), "" if at < 0 else arguments[at + 1 :].strip()
        if at < 0:
            return "", ""


def _written(name: str, arguments: str) -> str:
    return f"{name}!({arguments})"


def _arguments(node: Node) -> str:
    return text(node.children[-1])[1:-1]


def _name(node: Node) -> str:
    return text(node.child_by_field_name("macro")).removeprefix("std::").removeprefix("core::")


def _nodes(root: Node) -> list[Node]:
    nodes = [root]
    for node in nodes:
        nodes.extend(node.children)
    return nodes
