"""Measures the style of a parsed candidate: what the quality part of the reward is paid for. Pure.

Only the entry function and the functions that it reaches by name count, so dead code earns nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

from tree_sitter import Node

from reward_farm.verdict import SyntaxMetrics

_BRANCHES = {"if_expression", "while_expression", "for_expression", "loop_expression", "try_expression"}
_BLOCKS = {"if_expression", "while_expression", "for_expression", "loop_expression", "match_expression"}
_ADAPTERS = {
    "iter", "into_iter", "iter_mut", "map", "filter", "fold", "chars", "zip", "enumerate", "rev", "windows", "chunks",
    "filter_map", "flat_map", "take_while", "skip_while", "any", "all", "position", "lines", "split_whitespace",
    "bytes", "scan", "sum", "product",
}  # fmt: skip
_PANICS = {"panic", "todo", "unimplemented", "unreachable"}


def measure(root: Node, entry: Node) -> SyntaxMetrics:
    """Metrics of `entry` and what it reaches in the file `root`."""
    functions = _reached(root, entry)
    complexities = [_complexity(function) for function in functions]
    return SyntaxMetrics(
        lines=sum(f.end_point[0] - f.start_point[0] + 1 for f in functions),
        functions=len(functions),
        documented_functions=sum(_documented(f) for f in functions),
        uses_iterators_or_closures=any(_is_idiom(node) for f in functions for node in _nodes(f)),
        returns_result_or_option=_text(entry.child_by_field_name("return_type")).startswith(("Option<", "Result<")),
        panicking_calls=sum(_panics(node) for f in functions for node in _nodes(f)),
        cyclomatic_complexity=sum(complexities) / len(complexities),
        max_nesting=max(_nesting(f) for f in functions),
    )


def _reached(root: Node, entry: Node) -> list[Node]:
    by_name = {_text(node.child_by_field_name("name")): node for node in _nodes(root) if node.type == "function_item"}
    reached, waiting = [entry], [entry]
    while waiting:
        names = {_text(n) for n in _nodes(waiting.pop()) if n.type in ("identifier", "field_identifier")}
        for function in (by_name[name] for name in names & by_name.keys()):
            if function not in reached:
                reached.append(function)
                waiting.append(function)
    return reached


def _documented(function: Node) -> bool:
    before = function.prev_sibling
    while before is not None and before.type == "attribute_item":
        before = before.prev_sibling
    return before is not None and _text(before).startswith(("///", "/**", "#[doc"))


def _complexity(function: Node) -> int:
    points = 1
    for node in _nodes(function):
        if node.type in _BRANCHES or (node.type == "binary_expression" and _operator(node) in ("&&", "||")):
            points += 1
        elif node.type == "match_block":
            points += max(0, sum(child.type == "match_arm" for child in node.children) - 1)
    return points


def _is_idiom(node: Node) -> bool:
    if node.type == "closure_expression":
        return True
    return node.type == "field_expression" and _text(node.child_by_field_name("field")) in _ADAPTERS


def _panics(node: Node) -> bool:
    if node.type == "macro_invocation":
        return _text(node.child_by_field_name("macro")) in _PANICS
    return node.type == "field_expression" and _text(node.child_by_field_name("field")) in ("unwrap", "expect")


def _nesting(node: Node) -> int:
    deepest, stack = 0, [(node, 0)]
    while stack:
        node, depth = stack.pop()
        depth += node.type in _BLOCKS
        deepest = max(deepest, depth)
        stack.extend((child, depth) for child in node.children)
    return deepest


def _operator(node: Node) -> str:
    return _text(node.child_by_field_name("operator"))


def _nodes(root: Node) -> Iterator[Node]:
    stack = [root]
    while stack:
        node = stack.pop()
        yield node
        stack.extend(node.children)


def _text(node: Node | None) -> str:
    return (node.text or b"").decode(errors="replace") if node is not None else ""
