"""Cuts source files into documents: pieces of text that a model reads whole. Reads no files, drops no duplicates."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import tree_sitter_rust
from tree_sitter import Language, Node, Parser

from trainer.corpus.examples import rust_blocks, shorten_docs
from trainer.corpus.sources import SourceFile

# An item this many times longer than a document should be would be read in unconnected parts, so it is left out.
LONGEST_ITEM = 4
_PARSER = Parser(Language(tree_sitter_rust.language()))
_COMMENTS = {"line_comment", "block_comment"}
_ATTACHED = {*_COMMENTS, "attribute_item"}
# Names of a crate's own modules and imports: without the rest of the crate they teach nothing but noise.
_LEFT_OUT = {
    "use_declaration",
    "extern_crate_declaration",
    "inner_attribute_item",
    "empty_statement",
    "expression_statement",
}
_HEADER = re.compile(r"\A\s*(?:(?://(?![/!])[^\n]*\n\s*)+|/\*(?![*!]).*?\*/\s*)", re.DOTALL)
_LICENSE = re.compile(r"copyright|licen[sc]e|spdx", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Document:
    """A piece of Rust. `kind` is `item` (one or a few neighbouring items), `example` (from documentation) or `file`."""

    crate: str
    kind: str
    text: str


def documents_of(file: SourceFile, document_bytes: int) -> Iterator[Document]:
    """A file's documents. With `document_bytes` 0 it is one document, else its items, packed to about that size, and
    the examples in its documentation. Text that doesn't parse as Rust is left out."""
    text = strip_license(file.text)
    if document_bytes == 0:
        if text.strip():
            yield Document(file.crate, "file", text.rstrip() + "\n")
        return
    code, examples = shorten_docs(text)
    source = code.encode()
    for piece in _pack(_units(_PARSER.parse(source).root_node, source, document_bytes), document_bytes):
        yield Document(file.crate, "item", piece)
    for example in examples:
        yield Document(file.crate, "example", example)


def examples_of(file: SourceFile) -> Iterator[Document]:
    """Only the documentation's examples of a Rust or Markdown file."""
    blocks = rust_blocks(file.text) if file.path.suffix == ".md" else shorten_docs(file.text)[1]
    for block in blocks:
        yield Document(file.crate, "example", block)


def strip_license(text: str) -> str:
    """The text without the comment at its top, if that speaks of copyright or licence."""
    header = _HEADER.match(text)
    return text[header.end() :] if header and _LICENSE.search(header[0]) else text


def _units(parent: Node, source: bytes, limit: int) -> Iterator[str]:
    """The items below `parent`, each with the comments and attributes right above it. A long `impl` or `trait` is taken
    apart into its members, each under a repeat of its head; a module gives its own items."""
    start: int | None = None
    end = 0
    for node in parent.named_children:
        if node.type in _ATTACHED:
            # A comment that a blank line parts from what follows is about something else.
            if start is None or source[end : node.start_byte].count(b"\n") > 1:
                start = node.start_byte
            end = node.end_byte
            continue
        attached = start is not None and source[end : node.start_byte].count(b"\n") <= 1
        begin = start if attached and start is not None else node.start_byte
        start = None
        if node.type in _LEFT_OUT or node.has_error or node.type == "ERROR":
            continue
        body = node.child_by_field_name("body")
        # A macro call's semicolon is a node of its own.
        finish = node.end_byte + (node.type == "macro_invocation" and source[node.end_byte : node.end_byte + 1] == b";")
        if node.type == "mod_item":
            if body is not None:
                yield from _units(body, source, limit)
        elif finish - begin <= limit or body is None or node.type not in {"impl_item", "trait_item"}:
            if finish - begin <= LONGEST_ITEM * limit:
                yield _dedent(source[begin:finish], _column(source, begin))
        else:
            head = _dedent(source[node.start_byte : body.start_byte + 1], node.start_point.column)
            for piece in _pack(_units(body, source, limit), limit - len(head)):
                members = "\n".join(f"    {line}" if line else "" for line in piece.rstrip("\n").split("\n"))
                yield f"{head}\n{members}\n}}"


def _pack(units: Iterator[str], limit: int) -> Iterator[str]:
    """Joins neighbours while they fit: a type, its impl and its helpers are learned together."""
    piece = ""
    for unit in units:
        if piece and len(piece) + len(unit) > limit:
            yield piece + "\n"
            piece = ""
        piece = f"{piece}\n\n{unit}" if piece else unit
    if piece:
        yield piece + "\n"


def _column(source: bytes, offset: int) -> int:
    return offset - (source.rfind(b"\n", 0, offset) + 1)


def _dedent(code: bytes, columns: int) -> str:
    """`code`, whose first line began at `columns`, moved to the left margin."""
    margin = " " * columns
    first, *rest = code.decode().rstrip().split("\n")
    return "\n".join([first, *(line.removeprefix(margin).rstrip() for line in rest)])
