"""Other forms of a task: a hole to fill, broken code to mend, a request in words. Pure but for the judge given."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from random import Random

from tree_sitter import Node

from reward_farm.gate import parse, text
from reward_farm.problem import Submission
from reward_farm.rendering import render
from reward_farm.verdict import Scored, Verdict
from trainer.corpus.gap import holes
from trainer.tasks.mutants import Mutant, mutants
from trainer.tasks.task import Form, Task

JudgeMany = Callable[[Sequence[Submission]], Sequence[Verdict]]

BROKEN_EACH = 4
"""Broken versions tried for each task: some compile all the same."""
DROPPED_CALLS = frozenset(("copied", "cloned", "iter", "collect", "to_string", "to_vec", "chars", "into_iter"))
MOST_DIAGNOSTICS = 2


def in_forms(tasks: Sequence[Task], forms: Sequence[Form], judge: JudgeMany, seed: int) -> list[Task]:
    """These tasks in these other forms, as far as each can be put so."""
    others: list[Task] = []
    if Form.INSTRUCT in forms:
        others += map(asked, tasks)
    if Form.FIM in forms:
        others += [hole for task in tasks if (hole := filled(task, Random(f"{seed}:{task.id}"))) is not None]
    if Form.REPAIR in forms:
        others += repairs(tasks, judge, seed)
    return others


def filled(task: Task, rng: Random) -> Task | None:
    """The task with a hole in its reference; None where there is nothing to leave out."""
    source = task.source(task.reference).encode()
    start = len(task.prompt.encode())
    found = [hole for hole in holes(source) if hole[0] >= start]
    if not found or not task.reference:
        return None
    begin, end = rng.choice(found)
    before, middle, after = (part.decode() for part in (source[:begin], source[begin:end], source[end:]))
    return replace(
        task, id=f"{task.id}/fim", prompt=before, reference=middle, suffix=after, form=Form.FIM,
        tags=(*task.tags, "fim"), difficulty=task.difficulty / 2,
    )  # fmt: skip


def asked(task: Task) -> Task:
    """The task as a request in words."""
    return replace(task, id=f"{task.id}/ask", form=Form.INSTRUCT, tags=(*task.tags, "instruct"))


def repairs(tasks: Sequence[Task], judge: JudgeMany, seed: int) -> list[Task]:
    """For each task, if one is found, a version that does not compile or fails its tests, with what is said of it."""
    tried = [each for task in tasks for each in broken(task, Random(f"{seed}:{task.id}"))]
    verdicts = judge([Submission(f"r{number}", each.source, each.task.problem) for number, each in enumerate(tried)])
    found: dict[str, Task] = {}
    for each, verdict in zip(tried, verdicts, strict=True):
        if isinstance(verdict, Scored) and not verdict.passed and each.task.id not in found:
            found[each.task.id] = _repair(each, verdict)
    return list(found.values())


def broken(task: Task, rng: Random) -> list[Mutant]:
    """Versions of a reference with a mistake such as people make: most do not compile."""
    source = task.solved.encode()
    start = len(task.prompt.encode()) if not task.answer else 0
    changes = [change for node in _nodes(parse(source)) if node.start_byte >= start for change in _mistakes(node)]
    rng.shuffle(changes)
    made = [
        Mutant(task, (source[:begin] + written.encode() + source[end:]).decode(), written)
        for begin, end, written in changes[: BROKEN_EACH - 1]
    ]
    return [*made, *mutants(task, 1, rng)]


def _repair(each: Mutant, verdict: Scored) -> Task:
    task, name = each.task, each.task.problem.entry
    worst = sorted(verdict.diagnostics, key=lambda d: d.level != "error")[:MOST_DIAGNOSTICS]
    said = render(replace(verdict, diagnostics=tuple(worst)), each.source, f"{name}.rs", name).strip()
    wrong = each.source.rstrip()
    commented = "\n".join(f"// {line}".rstrip() for line in f"{wrong}\n\n{said}".splitlines())
    what = "does not compile" if not verdict.compiled else "gives wrong answers"
    return replace(
        task,
        id=f"{task.id}/fix",
        prompt=f"// This code {what}:\n{commented}\n// Mended:\n{task.prompt}",
        instruction=f"This Rust code {what}:\n```rust\n{wrong}\n```\n```text\n{said}\n```\nMend it.",
        form=Form.REPAIR,
        tags=(*task.tags, "repair"),
    )


def _mistakes(node: Node) -> Iterator[tuple[int, int, str]]:
    """Byte ranges and what a mistake would write there."""
    said = text(node)
    if node.type == "reference_expression":
        yield node.start_byte, node.end_byte, said.removeprefix("&")
    elif node.type == "mutable_specifier":
        yield node.start_byte, node.end_byte + 1, ""
    elif node.type == "call_expression" and said.endswith("()"):
        function = node.child_by_field_name("function")
        if function is not None and text(function.child_by_field_name("field")) in DROPPED_CALLS:
            yield node.start_byte, node.end_byte, text(function.child_by_field_name("value"))
    elif node.type == "identifier" and len(said) > 2:
        yield node.start_byte, node.end_byte, said[:-1]
    elif node.type == "block" and (last := _last_expression(node)) is not None:
        yield last.end_byte, last.end_byte, ";"
    elif node.type == "string_literal":
        yield node.start_byte, node.end_byte, f"{said}.to_string()"
    elif node.type == "integer_literal":
        yield node.start_byte, node.end_byte, f'"{said}"'


def _last_expression(block: Node) -> Node | None:
    """The value of a block, if it has one."""
    last = block.named_children[-1] if block.named_children else None
    return last if last is not None and last.type.endswith("expression") else None


def _nodes(node: Node) -> Iterator[Node]:
    yield node
    for child in node.children:
        yield from _nodes(child)
