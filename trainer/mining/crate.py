"""The doc-tested functions of a crate's folder, each with the items of its file that it needs. Reads; never runs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tree_sitter import Node

from reward_farm.gate import parse, text
from trainer.mining.errors import NothingToMine

MOST_BYTES = 1 << 20
"""Larger files are generated tables."""
SKIPPED = frozenset(("tests", "benches", "examples", "target", "fuzz", ".git"))
_ITEMS = frozenset(
    ("function_item", "const_item", "static_item", "struct_item", "enum_item", "type_item", "trait_item",
     "macro_definition")
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Documented:
    """A function, its doc comment, and its file's items: `before` for its signature, `after` for its body alone."""

    crate: str
    path: Path
    name: str
    docs: tuple[str, ...]
    signature: str
    params: tuple[str, ...]
    returns: str
    body: str
    before: str
    after: str
    method: bool


def rust_files(folder: Path) -> list[Path]:
    """The sources of a folder, but not its tests.

    Raises:
        NothingToMine: there are none.
    """
    found = [
        path
        for path in sorted(folder.rglob("*.rs"))
        if not SKIPPED.intersection(path.relative_to(folder).parts[:-1]) and path.is_file()
    ]
    if not found:
        raise NothingToMine(
            f"{folder}: has no .rs files outside of {', '.join(sorted(SKIPPED))}. Name a crate's folder"
        )
    return found


def crate_of(path: Path, folder: Path) -> str:
    """The name by which a crate's examples import it: of the nearest Cargo.toml, else of the folder."""
    for parent in path.parents:
        manifest = parent / "Cargo.toml"
        if manifest.is_file():
            named = re.search(r'^name\s*=\s*"([^"]+)"', manifest.read_text(errors="replace"), re.MULTILINE)
            if named:
                return named[1].replace("-", "_")
        if parent == folder:
            break
    return re.sub(r"-\d[\w.+-]*$", "", folder.name).replace("-", "_")


def documented(path: Path, crate: str) -> Iterator[Documented]:
    """The public functions of a file whose doc comments have code; methods too, marked so."""
    if path.stat().st_size <= MOST_BYTES:
        root = parse(path.read_bytes())
        yield from _in_scope(root, path, crate, within_impl=False)


def _in_scope(scope: Node, path: Path, crate: str, within_impl: bool) -> Iterator[Documented]:
    items = [] if within_impl else _items(scope)
    docs: list[str] = []
    for child in scope.named_children:
        said = text(child)
        if child.type == "line_comment":
            docs += [said.rstrip("\n")[3:].removeprefix(" ")] if said.startswith("///") else []
        elif child.type != "attribute_item":
            inner = child.child_by_field_name("body")
            if child.type == "function_item" and "```" in "\n".join(docs) and said.startswith("pub"):
                yield _function(child, docs, items, path, crate, within_impl)
            elif child.type == "mod_item" and inner is not None:
                yield from _in_scope(inner, path, crate, within_impl)
            elif child.type in ("impl_item", "trait_item") and inner is not None:
                yield from _in_scope(inner, path, crate, within_impl=True)
            docs = []


def _function(
    node: Node, docs: list[str], items: list[tuple[str, str, str]], path: Path, crate: str, method: bool
) -> Documented:
    body, parameters = node.child_by_field_name("body"), node.child_by_field_name("parameters")
    name, returns = text(node.child_by_field_name("name")), node.child_by_field_name("return_type")
    end = body.start_byte if body else node.end_byte
    signature = re.sub(
        r"^pub\s*\([^)]*\)", "pub", " ".join((node.text or b"")[: end - node.start_byte].decode().split())
    )
    types = [
        text(kind)
        for each in (parameters.named_children if parameters else ())
        if (kind := each.child_by_field_name("type")) is not None
    ]
    for_signature = _needed(signature, items, name)
    others = [each for each in _needed(text(body), items, name) if each not in for_signature]
    return Documented(
        crate, path, name, tuple(docs), signature, tuple(types), text(returns) if returns else "()", text(body),
        "\n".join(for_signature), "\n".join(others), method,
    )  # fmt: skip


def _items(scope: Node) -> list[tuple[str, str, str]]:
    """Name, kind and source of what a scope declares; an `impl` has the name of its type. Attributes but derives go."""
    found = []
    kept: list[str] = []
    for child in scope.named_children:
        said = text(child)
        if child.type == "attribute_item":
            kept += [said] if said.startswith("#[derive") else []
            continue
        if child.type in _ITEMS:
            found.append((text(child.child_by_field_name("name")), child.type, "\n".join([*kept, said])))
        elif child.type == "impl_item":
            implemented = re.match(r"(?:&\s*(?:'\w+\s+)?(?:mut\s+)?)?(\w+)", text(child.child_by_field_name("type")))
            found.append((implemented[1] if implemented else "", child.type, said))
        elif child.type == "use_declaration":
            path = re.sub(r"^(?:pub(?:\([^)]*\))?\s+)?use (?:core|alloc)::", "use std::", said)
            for name in re.findall(r"(\w+)\s*(?:[,}]|;)", path):
                found.append((name, child.type, path))
        if "comment" not in child.type:
            kept = []
    return found


def _needed(source: str, items: list[tuple[str, str, str]], itself: str) -> list[str]:
    """The items that a text names, and those that they name, in the file's order."""
    wanted: set[int] = set()
    texts = [source]
    while texts:
        words = set(re.findall(r"\w+", texts.pop()))
        for number, (name, _, said) in enumerate(items):
            if number not in wanted and name in words and name != itself:
                wanted.add(number)
                texts.append(said)
    return list(dict.fromkeys(items[number][2] for number in sorted(wanted)))
