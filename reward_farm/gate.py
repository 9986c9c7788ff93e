"""Looks at a candidate's text before any process is started: decodes, parses, finds the item, refuses constructs.

Defence in depth and a count of cheats, never the boundary: the sandbox and the oracle outside it are that. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import tree_sitter_rust
from tree_sitter import Language, Node, Parser

from reward_farm.verdict import Diagnostic, Outcome

MAX_DEPTH = 200
"""Nesting of the syntax tree; rustc's parser overflows its stack somewhere beyond a thousand."""

_FORBIDDEN_MACROS = {
    "include": "include", "include_str": "include", "include_bytes": "include", "env": "environment",
    "option_env": "environment", "asm": "unsafe", "global_asm": "unsafe", "naked_asm": "unsafe",
    "compile_error": "compile_error", "concat_idents": "feature", "concat": "macro_bomb", "line": "location",
    "file": "location", "column": "location", "module_path": "location",
}  # fmt: skip
_FORBIDDEN_ATTRIBUTES = {
    "link": "unsafe", "no_mangle": "unsafe", "export_name": "unsafe", "link_section": "unsafe", "unsafe": "unsafe",
    "path": "outside_file", "macro_export": "macro_export", "feature": "feature", "no_main": "crate_attribute",
    "no_std": "crate_attribute", "no_core": "crate_attribute", "recursion_limit": "crate_attribute",
    "type_length_limit": "crate_attribute", "crate_type": "crate_attribute", "crate_name": "crate_attribute",
    "proc_macro": "proc_macro", "proc_macro_derive": "proc_macro", "proc_macro_attribute": "proc_macro",
    "global_allocator": "unsafe", "panic_handler": "unsafe", "used": "unsafe",
}  # fmt: skip
_INNER_ALLOWED = ("allow", "warn", "deny", "doc")
_FORBIDDEN_STD = {
    "process": "process", "net": "network", "fs": "files", "env": "environment", "os": "files", "ffi": "unsafe",
    "alloc": "unsafe", "arch": "unsafe",
}  # fmt: skip
_FORBIDDEN_NAMES = {"set_hook": "panic_hook", "take_hook": "panic_hook", "catch_unwind": "panic_hook"}
_BIDI = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


@dataclass(frozen=True, slots=True)
class Refused:
    """The gate's answer for what need not be compiled."""

    outcome: Outcome
    cheat: str | None = None
    diagnostics: tuple[Diagnostic, ...] = ()


@dataclass(frozen=True, slots=True)
class Parsed:
    """A candidate that may be compiled. `alone`: it could reach a sibling, so it gets a crate of its own."""

    source: str
    root: Node
    entry: Node
    alone: bool


def examine(source: str, entry: str, max_bytes: int) -> Parsed | Refused:
    """What the text alone decides about a candidate that must define the function `entry`."""
    source = source.removeprefix("\ufeff")
    try:
        raw = source.encode()
    except UnicodeEncodeError:
        return Refused(Outcome.REJECTED, "encoding")
    if len(raw) > max_bytes:
        return Refused(Outcome.REJECTED, "too_large")
    if "\0" in source or _BIDI.intersection(source):
        return Refused(Outcome.REJECTED, "encoding")
    root = _parser().parse(raw).root_node
    if root.has_error:
        return Refused(Outcome.PARSE_ERROR, None, (_syntax_error(root),))
    alone = False
    for node, depth in _walk(root):
        if depth > MAX_DEPTH:
            return Refused(Outcome.REJECTED, "nesting")
        cheat = _forbidden(node)
        if cheat:
            return Refused(Outcome.REJECTED, cheat)
        alone = alone or node.type in ("crate", "super", "inner_attribute_item", "extern_crate_declaration")
    for item in root.children:
        if item.type == "function_item" and _text(item.child_by_field_name("name")) == entry:
            return Parsed(source, root, item, alone)
    return Refused(Outcome.MISSING_ITEM)


def _forbidden(node: Node) -> str | None:
    """The kind of cheat that a node is, if it is one."""
    match node.type:
        case "unsafe" | "unsafe_block" | "foreign_mod_item" | "extern_modifier" | "union_item":
            return "unsafe"
        case "extern_crate_declaration":
            return "extern_crate"
        case "macro_invocation":
            return _FORBIDDEN_MACROS.get(_text(node.child_by_field_name("macro")).rsplit("::", 1)[-1])
        case "mod_item" if node.child_by_field_name("body") is None:
            return "outside_file"
        case "attribute":
            return _attribute(node)
        case "scoped_identifier" | "scoped_use_list" | "use_as_clause" | "use_wildcard":
            return _path("".join(_text(node).split()))
        case "identifier":
            return _FORBIDDEN_NAMES.get(_text(node))
    return None


def _attribute(node: Node) -> str | None:
    name = _text(node).split("(")[0].split("=")[0].strip()
    if node.parent is not None and node.parent.type == "inner_attribute_item" and name not in _INNER_ALLOWED:
        return _FORBIDDEN_ATTRIBUTES.get(name, "crate_attribute")
    if name == "cfg_attr":
        return "crate_attribute"
    return _FORBIDDEN_ATTRIBUTES.get(name)


def _path(path: str) -> str | None:
    parts = path.removeprefix("::").replace("{", "::").replace("}", "").replace(",", "::").split("::")
    if parts[0] not in ("std", "core", "alloc"):
        return None
    return next((_FORBIDDEN_STD[part] for part in parts[1:] if part in _FORBIDDEN_STD), None)


def _syntax_error(root: Node) -> Diagnostic:
    """The first error that tree-sitter marked."""
    node = root
    while True:
        inner = next((child for child in node.children if child.has_error or child.is_missing), None)
        if inner is None or node.is_error:
            break
        node = inner
    row, column = node.start_point
    text = _text(node).split("\n")[0][:40]
    what = f"`{node.type}` is missing" if node.is_missing else f"syntax error near `{text}`"
    return Diagnostic("error", None, what, row + 1, column + 1)


def _walk(root: Node) -> Iterator[tuple[Node, int]]:
    """Every node with its depth, without recursion: the text is hostile."""
    stack = [(root, 0)]
    while stack:
        node, depth = stack.pop()
        yield node, depth
        stack.extend((child, depth + 1) for child in node.children)


def _text(node: Node | None) -> str:
    return (node.text or b"").decode(errors="replace") if node is not None else ""


@lru_cache(maxsize=1)
def _parser() -> Parser:
    return Parser(Language(tree_sitter_rust.language()))
