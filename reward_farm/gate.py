"""Looks at a candidate's text before any process is started: parses it, finds the required item, refuses constructs.

Defence in depth and a count of cheats, never the boundary: the sandbox and the oracle outside it are that. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
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
}  # fmt: skip
_FORBIDDEN_ATTRIBUTES = {
    "link": "unsafe", "no_mangle": "unsafe", "export_name": "unsafe", "link_section": "unsafe", "unsafe": "unsafe",
    "global_allocator": "unsafe", "panic_handler": "unsafe", "used": "unsafe", "path": "outside_file",
    "cfg_attr": "crate_attribute", "proc_macro": "proc_macro", "proc_macro_derive": "proc_macro",
    "proc_macro_attribute": "proc_macro",
}  # fmt: skip
_CRATE_ATTRIBUTES = {"allow", "expect", "warn", "deny", "forbid", "doc"}
"""`#![...]` that may stay. `feature`, `no_main`, `recursion_limit` and the like change how rustc works."""
_SILENCERS = {"allow", "expect", "automatically_derived"}
_UNBOUNDED = "long_running_const_eval"
"""The lint that ends an endless constant; switched off, only the CPU limit does."""
_FORBIDDEN_STD = {"process": "process", "net": "network", "fs": "files", "env": "environment", "os": "files"}
"""Modules of std that a function with hidden cases has no use for. Where nothing runs, they are welcome."""
_FORBIDDEN_PATHS = {name: cheat for name, cheat in _FORBIDDEN_MACROS.items() if name != "env"}
"""A macro under another name is the same macro. `std::env` is a module as well."""
_FORBIDDEN_NAMES = {"set_hook": "panic_hook", "take_hook": "panic_hook"}
_BIDI = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_REACHES_OUT = {
    "crate", "super", "impl", "extern", "macro_export", "macro_use", "$crate",
    "include", "include_str", "include_bytes",
}  # fmt: skip
"""Attributes that carry macros out of a module, and words that may stand for anything in a macro's body."""
_WORDS = {"identifier", "metavariable"}
_TOKENS = {"token_tree", "token_tree_pattern"}


@dataclass(frozen=True, slots=True)
class Refused:
    """The gate's answer for what need not be compiled."""

    outcome: Outcome
    cheat: str | None = None
    diagnostics: tuple[Diagnostic, ...] = ()


@dataclass(frozen=True, slots=True)
class Moved:
    """A place, 1-based, where a word was written in place of what stood there; the rest of the line moved."""

    line: int
    column: int
    written: int
    by: int

    def back(self, line: int, column: int) -> int:
        """The column, in the text as it was, of a place in the text as it is."""
        if line != self.line or column <= self.column:
            return column
        return column - self.by if column >= self.column + self.written else self.column


@dataclass(frozen=True, slots=True)
class Parsed:
    """A candidate that may be compiled."""

    source: str
    """Without a byte order mark, and with the entry function `pub`."""
    root: Node
    entry: Node | None
    """The required function, where one is."""
    alone: bool
    """It could reach a sibling or change how one compiles, so it gets a crate of its own."""
    published: tuple[Moved, ...]
    """Where `pub` was added, from left to right."""
    silenced: tuple[Diagnostic, ...]
    """Its `#[allow(...)]` attributes. Each counts as a warning, else hiding one would pay."""


def examine(source: str, entry: str, max_bytes: int, runs: bool = True) -> Parsed | Refused:
    """What the text alone decides about a candidate that must define the function `entry`, if that is not empty.

    With `runs`, the problem has hidden cases, and parts of std are forbidden too.
    """
    source = source.removeprefix("\ufeff")
    try:
        raw = source.encode()
    except UnicodeEncodeError:
        return Refused(Outcome.REJECTED, "encoding")
    if len(raw) > max_bytes:
        return Refused(Outcome.REJECTED, "too_large")
    if "\0" in source or _BIDI.intersection(source):
        return Refused(Outcome.REJECTED, "encoding")
    root = parse(raw)
    if root.has_error:
        return Refused(Outcome.PARSE_ERROR, None, (_syntax_error(root),))
    alone, silenced = False, []
    types = _declared(root)
    for seen in _walk(root):
        if seen.depth > MAX_DEPTH:
            return Refused(Outcome.REJECTED, "nesting")
        cheat = _forbidden(seen, runs)
        if cheat:
            return Refused(Outcome.REJECTED, cheat)
        alone = alone or _reaches_out(seen, types)
        if seen.node.type == "attribute" and _name(seen.node) in _SILENCERS:
            row, column = seen.node.start_point
            silenced.append(Diagnostic("warning", "allow", f"`{text(seen.node)}` hides warnings", row + 1, column + 1))
    functions = [item for item in root.children if item.type == "function_item"]
    wanted = next((item for item in functions if _item_name(item) == entry), None)
    if entry and wanted is None:
        return Refused(Outcome.MISSING_ITEM)
    # A program's `main` is used by nobody here, and all that it calls: that is no fault of theirs.
    published, moved = _publish(raw, [item for item in functions if item == wanted or _item_name(item) == "main"])
    return Parsed(published, root, wanted, alone, moved, tuple(silenced))


def _publish(raw: bytes, items: Sequence[Node]) -> tuple[str, tuple[Moved, ...]]:
    """The source with `items` public, and what that moved."""
    moved = []
    for item in reversed(items):
        first = item.children[0]
        start, end = first.start_byte, first.end_byte if first.type == "visibility_modifier" else first.start_byte
        word = b"pub" if end > start else b"pub "
        if raw[start:end] == word:
            continue
        before = raw[raw.rfind(b"\n", 0, start) + 1 : start].decode()
        moved.append(Moved(first.start_point[0] + 1, len(before) + 1, len(word), len(word) - (end - start)))
        raw = raw[:start] + word + raw[end:]
    return raw.decode(), tuple(reversed(moved))


def _item_name(item: Node) -> str:
    return text(item.child_by_field_name("name"))


@dataclass(frozen=True, slots=True)
class _Seen:
    """A node and where it stands."""

    node: Node
    after: str
    """Type of the next node."""
    depth: int
    modules: int
    """How many inline modules it is in."""
    tokens: bool
    """It is in a macro's body or call, where the tree is only tokens."""


def _forbidden(seen: _Seen, runs: bool) -> str | None:
    """The kind of cheat that a node is, if it is one."""
    node = seen.node
    match node.type:
        case "unsafe" | "foreign_mod_item" | "extern_modifier" | "union_item":
            return "unsafe"
        case "mod_item" if node.child_by_field_name("body") is None:
            return "outside_file"
        case "attribute":
            return _attribute(node)
        case "identifier" if seen.after == "!":
            return _FORBIDDEN_MACROS.get(text(node))
        case "identifier" if runs:
            return _FORBIDDEN_NAMES.get(text(node))
        case "scoped_identifier" | "scoped_use_list" | "use_as_clause" | "use_wildcard":
            return _path(text(node), runs)
    return None


def _attribute(node: Node) -> str | None:
    name = _name(node)
    if node.parent is not None and node.parent.type == "inner_attribute_item" and name not in _CRATE_ATTRIBUTES:
        return "crate_attribute"
    if _UNBOUNDED in text(node):
        return "crate_attribute"
    return _FORBIDDEN_ATTRIBUTES.get(name)


def _name(attribute: Node) -> str:
    return text(attribute).split("(")[0].split("=")[0].split("[")[0].strip()


def _path(path: str, runs: bool) -> str | None:
    """The kind of cheat that a path of std's is; in an import, `a as b` is `a`."""
    names = [piece.split()[0] for piece in re.split(r"::|[{},]", path) if piece.strip()]
    if not names or names[0] not in ("std", "core"):
        return None
    known = _FORBIDDEN_PATHS | (_FORBIDDEN_STD if runs else {})
    return next((known[name] for name in names[1:] if name in known), None)


def _reaches_out(seen: _Seen, types: set[str]) -> bool:
    """Whether a node could name what lies outside of the candidate's module, or change how a sibling is compiled."""
    node = seen.node
    if node.type.endswith("identifier") and not node.child_count and not text(node).isascii():
        return True  # lints for look-alikes regard all the names of a crate
    if seen.tokens:
        if node.type == "#":
            return not _is_harmless(node.next_sibling)
        if node.type == "metavariable" and seen.after == "!":
            return True
        return node.type in _REACHES_OUT or (node.type in _WORDS and text(node) in _REACHES_OUT)
    match node.type:
        case "inner_attribute_item" | "extern_crate_declaration":
            return True
        case "attribute":
            return _name(node) in _REACHES_OUT
        case "impl_item":
            # `impl From<Mine> for String` makes `x.into()` ambiguous in a sibling. A name that the file declares is its
            # own type only at the top: in a module or a block it may be std's.
            top = node.parent is not None and node.parent.type == "source_file"
            return not (top and (_base(node, "type") in types or _base(node, "trait") in types | {""}))
        case "crate":
            return node.parent is None or node.parent.type != "visibility_modifier"
        case "super":
            chained = node.prev_sibling is not None  # `super::super`, `self::super`
            return seen.modules == 0 or chained
    return False


def _is_harmless(attribute: Node | None) -> bool:
    """What follows a `#` among tokens is an attribute that can't become another, nor reach the linker."""
    words = text(attribute)
    named = re.findall(r"\w+", words)
    return words.startswith("[") and "$" not in words and not (_REACHES_OUT | _FORBIDDEN_ATTRIBUTES.keys()) & {*named}


def _base(item: Node, field: str) -> str:
    """The bare name of an impl's type or trait."""
    node = item.child_by_field_name(field)
    while node is not None and node.type == "generic_type":
        node = node.child_by_field_name("type")
    return text(node)


def _declared(root: Node) -> set[str]:
    kinds = ("struct_item", "enum_item", "trait_item")
    return {text(node.child_by_field_name("name")) for node in root.children if node.type in kinds}


def _syntax_error(root: Node) -> Diagnostic:
    """The first error that tree-sitter marked."""
    node = root
    while True:
        inner = next((child for child in node.children if child.has_error or child.is_missing), None)
        if inner is None or node.is_error:
            break
        node = inner
    row, column = node.start_point
    near = text(node).split("\n")[0][:40]
    what = f"`{node.type}` is missing" if node.is_missing else f"syntax error near `{near}`"
    return Diagnostic("error", None, what, row + 1, column + 1)


def _walk(root: Node) -> Iterator[_Seen]:
    """Every node, without recursion: the text is hostile."""
    stack = [_Seen(root, "", 0, 0, False)]
    while stack:
        seen = stack.pop()
        yield seen
        node = seen.node
        children = node.children
        modules, tokens = seen.modules + (node.type == "mod_item"), seen.tokens or node.type in _TOKENS
        for child, after in zip(children, [*(n.type for n in children[1:]), seen.after], strict=False):
            stack.append(_Seen(child, after, seen.depth + 1, modules, tokens))


def text(node: Node | None) -> str:
    """The source of a node; empty for none."""
    return (node.text or b"").decode(errors="replace") if node is not None else ""


def parse(source: bytes) -> Node:
    """The syntax tree of a file."""
    return _parser().parse(source).root_node


@lru_cache(maxsize=1)
def _parser() -> Parser:
    return Parser(Language(tree_sitter_rust.language()))
