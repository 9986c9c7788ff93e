"""Measures the style of a parsed candidate: what the quality part of the reward is paid for. Pure.

Only the entry function and what it reaches by name count, so dead code earns nothing.
"""

from __future__ import annotations

from collections import Counter

from tree_sitter import Node

from reward_farm.gate import text
from reward_farm.reach import attributes, implements_trait, own_nodes, reach
from reward_farm.verdict import SyntaxMetrics

_BRANCHES = {"if_expression", "while_expression", "for_expression", "loop_expression", "try_expression"}
_BLOCKS = {"if_expression", "while_expression", "for_expression", "loop_expression", "match_expression"}
_ADAPTERS = {
    "iter", "into_iter", "iter_mut", "map", "filter", "fold", "chars", "zip", "enumerate", "rev", "windows", "chunks",
    "filter_map", "flat_map", "take_while", "skip_while", "any", "all", "position", "lines", "split_whitespace",
    "bytes", "scan", "sum", "product",
}  # fmt: skip
_PANICS = {"panic", "todo", "unimplemented", "unreachable"}
_KINDS = {
    "closure_expression": "closures",
    "match_expression": "pattern_matches",
    "let_condition": "pattern_matches",
    "tuple_pattern": "destructurings",
    "struct_pattern": "destructurings",
    "tuple_struct_pattern": "destructurings",
    "slice_pattern": "destructurings",
    "generic_function": "turbofishes",
    "generic_type_with_turbofish": "turbofishes",
    "try_expression": "try_operators",
    "unsafe_block": "unsafe_blocks",
}
"""What a node is counted as by its type alone."""


def measure(root: Node, entry: Node | None) -> SyntaxMetrics | None:
    """Metrics of `entry` and what it reaches in the file `root`, or of all that it offers; None without functions."""
    reached = reach(root, entry)
    functions = reached.functions
    if not functions:
        return None
    counts: Counter[str] = Counter()
    complexities, chain, nesting = [], 0, 0
    for function in functions:
        branches = 1
        for node in own_nodes(function):
            branches += _branches(node)
            counts.update(_kinds(node))
            if node.type == "call_expression":
                chain = max(chain, _chain(node))
        complexities.append(branches)
        nesting = max(nesting, _nesting(function))
    documented = sum(implements_trait(function) or _documented(function) for function in functions)
    return SyntaxMetrics(
        lines=sum(function.end_point[0] - function.start_point[0] + 1 for function in functions),
        functions=len(functions),
        documented_functions=documented,
        uses_iterators_or_closures=counts["iterator_calls"] + counts["closures"] > 0,
        returns_result_or_option=entry is not None and _is_fallible(entry),
        panicking_calls=counts["unwraps"] + counts["expects"] + counts["panics"],
        cyclomatic_complexity=sum(complexities) / len(functions),
        max_nesting=nesting,
        iterator_calls=counts["iterator_calls"],
        closures=counts["closures"],
        pattern_matches=counts["pattern_matches"],
        destructurings=counts["destructurings"],
        longest_chain=chain,
        turbofishes=counts["turbofishes"],
        try_operators=counts["try_operators"],
        fallible_functions=sum(map(_is_fallible, functions)),
        unwraps=counts["unwraps"],
        expects=counts["expects"],
        panics=counts["panics"],
        structs=sum(node.type == "struct_item" for node in reached.types),
        enums=sum(node.type == "enum_item" for node in reached.types),
        traits=sum(node.type == "trait_item" for node in reached.types),
        documented_items=documented + sum(map(_documented, reached.types)),
        items=len(functions) + len(reached.types),
        unsafe_blocks=counts["unsafe_blocks"],
    )


def _kinds(node: Node) -> list[str]:
    """Everything that a node counts as."""
    if node.type in _KINDS:
        return [_KINDS[node.type]]
    if node.type == "field_expression":
        name = text(node.child_by_field_name("field"))
        if name in _ADAPTERS:
            return ["iterator_calls"]
        return [f"{name}s"] if name in ("unwrap", "expect") else []
    if node.type == "macro_invocation":
        name = text(node.child_by_field_name("macro"))
        return ["panics"] if name in _PANICS else ["pattern_matches"] if name == "matches" else []
    if node.type == "let_declaration" and node.child_by_field_name("alternative") is not None:
        return ["pattern_matches"]
    return []


def _branches(node: Node) -> int:
    if node.type in _BRANCHES:
        return 1
    if node.type == "binary_expression":
        return text(node.child_by_field_name("operator")) in ("&&", "||")
    if node.type == "match_block":
        return max(0, sum(child.type == "match_arm" for child in node.children) - 1)
    return 0


def _chain(call: Node | None) -> int:
    """Method calls in a row that end here, with or without `?` between."""
    length = 0
    while call is not None and call.type in ("call_expression", "try_expression"):
        if call.type == "try_expression":
            call = call.children[0]
            continue
        called = call.child_by_field_name("function")
        if called is not None and called.type == "generic_function":
            called = called.child_by_field_name("function")
        if called is None or called.type != "field_expression":
            break
        length, call = length + 1, called.child_by_field_name("value")
    return length


def _documented(item: Node) -> bool:
    return any(text(before).startswith(("///", "/**", "#[doc")) for before in attributes(item))


def _is_fallible(function: Node) -> bool:
    returns = text(function.child_by_field_name("return_type")).split("<")[0]
    return returns.rsplit("::", 1)[-1].strip() in ("Option", "Result")


def _nesting(function: Node) -> int:
    deepest, stack = 0, [(function, 0)]
    while stack:
        node, depth = stack.pop()
        depth += node.type in _BLOCKS
        deepest = max(deepest, depth)
        stack.extend((child, depth) for child in node.children if child.type != "function_item")
    return deepest
