"""A Rust function as its source declares it: doc comment, name, types. Parses by tree-sitter; never runs Rust."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tree_sitter import Node

from reward_farm.gate import parse, text


@dataclass(frozen=True, slots=True)
class RustFunction:
    """`signature` is its text from `fn` (or `pub`) up to the body; `body` is its block with both braces."""

    name: str
    docs: tuple[str, ...]
    signature: str
    params: tuple[str, ...]
    returns: str
    body: str
    attributes: tuple[str, ...]
    start: int
    """Byte at which it begins, after its doc comment and attributes."""

    @property
    def is_test(self) -> bool:
        """It carries `#[test]`."""
        return "#[test]" in self.attributes


def functions(source: str) -> Iterator[RustFunction]:
    """Every free function of a file, those within modules too, in order."""
    yield from _below(parse(source.encode()))


def find_function(source: str, name: str) -> RustFunction | None:
    """The last function of that name: what comes before is helpers of the prompt."""
    return next((each for each in reversed(list(functions(source))) if each.name == name), None)


def instruction_of(function: RustFunction) -> str:
    """A request in words for the function: its signature, then what its doc comment says."""
    return "\n".join([f"Write a Rust function `{function.signature}`.", *function.docs])


def _below(node: Node) -> Iterator[RustFunction]:
    docs: list[str] = []
    attributes: list[str] = []
    for child in node.named_children:
        said = text(child).strip()
        if child.type == "line_comment":
            docs += [said.removeprefix("///").strip()] if said.startswith("///") else []
        elif child.type == "block_comment":
            docs += [line.strip().removeprefix("*").strip() for line in said.strip("/*").splitlines()]
        elif child.type == "attribute_item":
            attributes.append(said)
        else:
            if child.type == "function_item":
                yield _function(child, docs, attributes)
            elif child.type == "mod_item" and (body := child.child_by_field_name("body")) is not None:
                yield from _below(body)
            docs, attributes = [], []


def _function(node: Node, docs: list[str], attributes: list[str]) -> RustFunction:
    fields = {name: node.child_by_field_name(name) for name in ("name", "parameters", "return_type", "body")}
    parameters = fields["parameters"]
    types = [
        text(kind)
        for each in (parameters.named_children if parameters else ())
        if (kind := each.child_by_field_name("type")) is not None
    ]
    body, returns, name = fields["body"], fields["return_type"], fields["name"]
    end = body.start_byte if body else node.end_byte
    signature = node.text[: end - node.start_byte].decode() if node.text else ""
    return RustFunction(
        name=text(name) if name else "",
        docs=tuple(line for line in docs if line),
        signature=" ".join(signature.split()),
        params=tuple(types),
        returns=text(returns) if returns else "()",
        body=text(body) if body else "",
        attributes=tuple(attributes),
        start=node.start_byte,
    )
