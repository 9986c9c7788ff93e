"""Which functions and types of a file its entry function reaches by name: dead code is nobody's style. Pure.

Names are compared, not resolved. A method is reached where its name and its type's are written. What a type does for a
trait is reached with the type, for `{}` and `==` name no method.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tree_sitter import Node

from reward_farm.gate import text

_NAMES = {"identifier", "field_identifier", "type_identifier", "shorthand_field_identifier", "metavariable"}
TYPES = {"struct_item", "enum_item", "trait_item", "type_item"}
_ITEMS = TYPES | {"function_item", "const_item", "static_item", "macro_definition"}


@dataclass(frozen=True, slots=True)
class Reached:
    """What the entry reaches, itself first."""

    functions: tuple[Node, ...]
    types: tuple[Node, ...]


def reach(root: Node, entry: Node | None) -> Reached:
    """What `entry` reaches in the file `root`; without one, what the file offers to others, and its `main`."""
    items = [node for node in nodes(root, _is_test) if node.type in _ITEMS]
    declared = {_name(item) for item in items if item.type in TYPES}
    missing: dict[int, set[str]] = {}
    waiting: defaultdict[str, list[Node]] = defaultdict(list)
    for item in items:
        needs = missing[item.id] = _needs(item, declared)
        for name in needs:
            waiting[name].append(item)
    agenda = [entry] if entry is not None else [item for item in items if _is_offered(item)] or items
    reached = {item.id: item for item in agenda}
    seen: set[str] = set()
    while agenda:
        item = agenda.pop()
        for name in {text(node) for node in own_nodes(item) if node.type in _NAMES} - seen:
            seen.add(name)
            for other in waiting[name]:
                missing[other.id].discard(name)
                if not missing[other.id] and other.id not in reached:
                    reached[other.id] = other
                    agenda.append(other)
    found = reached.values()
    return Reached(
        tuple(item for item in found if item.type == "function_item"),
        tuple(item for item in found if item.type in TYPES),
    )


def implements_trait(function: Node) -> bool:
    """It is a method of `impl Trait for Type`."""
    block = _block(function)
    return block is not None and block.child_by_field_name("trait") is not None


def nodes(root: Node, without: Callable[[Node], bool]) -> Iterator[Node]:
    """Every node, without recursion: the text is hostile. A node of which `without` holds is left out with its own."""
    stack = [root]
    while stack:
        node = stack.pop()
        if not without(node):
            yield node
            stack.extend(node.children)


def own_nodes(item: Node) -> Iterator[Node]:
    """The nodes of an item without those of functions inside it, which are items of their own."""
    return nodes(item, lambda node: node.type == "function_item" and node != item)


def attributes(item: Node) -> Iterator[Node]:
    """Attributes and comments before an item, nearest first."""
    before = item.prev_sibling
    while before is not None and before.type in ("attribute_item", "line_comment", "block_comment"):
        yield before
        before = before.prev_sibling


def _is_test(item: Node) -> bool:
    return item.type in ("mod_item", "function_item") and any(
        "".join(text(attribute).split()) in ("#[cfg(test)]", "#[test]") for attribute in attributes(item)
    )


def _is_offered(item: Node) -> bool:
    public = any(child.type == "visibility_modifier" for child in item.children)
    return public or (item.type == "function_item" and _name(item) == "main")


def _needs(item: Node, declared: set[str]) -> set[str]:
    """The names that must be written in what is reached for the item to be reached."""
    block = _block(item)
    if item.type != "function_item" or block is None:
        return {_name(item)}
    type_ = _base(block.child_by_field_name("type"))
    if implements_trait(item) and type_ in declared:
        return {type_}
    return {_name(item), type_} if type_ in declared else {_name(item)}


def _block(function: Node) -> Node | None:
    """The `impl` that a method stands in."""
    block = function.parent.parent if function.parent is not None else None
    return block if block is not None and block.type == "impl_item" else None


def _base(type_: Node | None) -> str:
    while type_ is not None and type_.type in ("generic_type", "reference_type"):
        type_ = type_.child_by_field_name("type")
    return text(type_)


def _name(item: Node) -> str:
    return text(item.child_by_field_name("name"))
