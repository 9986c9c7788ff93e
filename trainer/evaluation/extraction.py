"""Takes the Rust file out of an answer, by its syntax tree: once strictly and once leniently. Pure; judges nothing.

Strict: the file ends with the function asked for, as MultiPL-E cuts at `\\n}`; figures are comparable with published
ones. Lenient: the items that follow it stay (a helper, a trait) up to prose, a fence or an item that is there already,
but for the model's own `main`, its tests and repeated `use` lines. Both are told apart, for neither is the truth: the
strict rule fails right answers with a helper below, and the lenient one saves models that do not know where to end.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from tree_sitter import Node

from reward_farm.answer import rust_in
from reward_farm.gate import parse, text
from trainer.evaluation.sample import PromptForm
from trainer.tasks.task import Task

_NAMED = {
    "function_item", "struct_item", "enum_item", "trait_item", "const_item", "static_item", "type_item", "mod_item",
    "macro_definition", "union_item",
}  # fmt: skip
_ITEMS = _NAMED | {"use_declaration", "impl_item"}
_LEADS = {"attribute_item", "line_comment", "block_comment"}
"""What belongs to the item after it."""
_FENCE = re.compile(r"^ {0,3}(```|~~~)", re.MULTILINE)
MAX_ENDINGS = 200
"""Closing braces that are tried as the function's end where the text as a whole does not parse."""


@dataclass(frozen=True, slots=True)
class Extracted:
    """Two source files, often the same."""

    strict: str
    lenient: str


def extract(task: Task, answer: str, form: PromptForm) -> Extracted:
    """The files that an answer stands for. An answer that is no Rust gives files that are none either."""
    entry = task.problem.entry
    if form is PromptForm.FIM and task.suffix:
        hole = _without_fence(answer)
        return Extracted(task.source(hole), task.source(hole))
    written = rust_in(answer, entry)
    if form is not PromptForm.CHAT and not (_FENCE.search(answer) and _defines(written, entry)):
        file = task.prompt + _without_fence(answer)
        end = _end_of_function(file, entry, len(task.prompt))
        return Extracted(file[:end], file[:end] + _following(file[end:], file[:end]))
    if not _defines(written, entry):
        file, given = task.prompt + written, len(task.prompt)
    else:
        prelude = _prelude(task, written)
        file, given = prelude + written, len(prelude)
    end = _end_of_function(file, entry, given)
    head = file[:end]
    if given == len(task.prompt) and file.startswith(task.prompt):
        return Extracted(head, head + _following(file[end:], head))
    kept: set[str] = set()
    return Extracted(head, _items(head, kept, others=True) + _items(file[end:], kept))


def _without_fence(answer: str) -> str:
    fence = _FENCE.search(answer)
    if fence is not None and not answer[: fence.start()].strip():  # it begins with one
        return rust_in(answer)
    return answer[: fence.start()] if fence is not None else answer


def _defines(code: str, entry: str) -> bool:
    return re.search(rf"\bfn\s+{re.escape(entry)}\b", code) is not None


def _end_of_function(file: str, entry: str, given: int) -> int:
    """Where the function asked for ends, at or after `given`; the end of the file where that can't be told."""
    raw = file.encode()
    from_byte = len(file[:given].encode())
    function = _function(parse(raw), entry, from_byte)
    if function is not None and not function.has_error:
        return len(raw[: function.end_byte].decode())
    braces = [match.end() for match in re.finditer("}", file[given:])]
    for brace in braces[:MAX_ENDINGS]:
        root = parse(file[: given + brace].encode())
        if not root.has_error and _function(root, entry, from_byte) is not None:
            return given + brace
    by_rule = file.find("\n}", given)
    return by_rule + 2 if by_rule >= 0 else len(file)


def _function(root: Node, entry: str, from_byte: int) -> Node | None:
    """The first function of this name that does not end before `from_byte`."""
    named = (n for n in root.children if n.type == "function_item" and text(n.child_by_field_name("name")) == entry)
    return next((function for function in named if function.end_byte >= from_byte), None)


def _following(rest: str, head: str) -> str:
    """The items that follow `head` and belong to the answer."""
    return _items(rest, _seen(head)) if rest.strip() else ""


def _items(code: str, seen: set[str], others: bool = False) -> str:
    """The items at the start of `code`, each with what leads it; `seen` are those that the file has.

    With `others`, what is no item stays too, and nothing ends it: it is the part that strict keeps.
    """
    fence = _FENCE.search(code)
    raw = (code if fence is None or others else code[: fence.start()]).encode()
    kept, start = bytearray(), 0
    for node in parse(raw).children:
        if node.type in _LEADS:
            continue
        piece, start = raw[start : node.end_byte], node.end_byte
        if not others and (node.type not in _ITEMS or node.has_error):
            break
        if _is_the_models_own(node, piece):
            continue
        if node.type in _ITEMS and _name(node) in seen:
            if others or node.type == "use_declaration":
                kept += b"" if node.type == "use_declaration" else piece
                continue
            break  # it repeats itself: what comes now only does so again
        seen.add(_name(node))
        kept += piece
    return kept.decode()


def _is_the_models_own(node: Node, piece: bytes) -> bool:
    """Its `main` or its tests, of which the first collides with a harness's and the second prove nothing."""
    name = text(node.child_by_field_name("name"))
    if node.type == "function_item":
        return name == "main" or b"#[test]" in piece[: piece.find(b"fn ")]
    return node.type == "mod_item" and (name in ("test", "tests") or b"cfg(test)" in piece)


def _name(node: Node) -> str:
    """What two items that can't stand beside each other have in common."""
    name = text(node.child_by_field_name("name")) if node.type in _NAMED else ""
    return f"{node.type} {name}" if name else " ".join(text(node).split())


def _seen(file: str) -> set[str]:
    return {_name(node) for node in parse(file.encode()).children if node.type in _ITEMS}


def _prelude(task: Task, written: str) -> str:
    """What the prompt has before its function, but for what the answer has as well."""
    raw = f"{task.prompt}\n}}".encode()
    theirs = _seen(written)
    kept, start = bytearray(), 0
    for node in parse(raw).children:
        if node.type == "function_item" and text(node.child_by_field_name("name")) == task.problem.entry:
            break
        if node.type in _LEADS:
            continue
        piece, start = raw[start : node.end_byte], node.end_byte
        if node.type in _ITEMS and _name(node) not in theirs:
            kept += piece
    return f"{kept.decode().strip()}\n" if kept.strip() else ""
