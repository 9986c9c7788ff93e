"""Doc-tested functions as tasks: each is proved by the farm before it is kept, or dropped for a reason that is said."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from reward_farm.problem import Problem, Submission
from reward_farm.verdict import Verdict
from trainer.benchmarks.assertions import problem_of
from trainer.benchmarks.errors import BadRow
from trainer.benchmarks.rust_function import find_function, instruction_of
from trainer.benchmarks.verify import Proof, Standing, prove
from trainer.mining.crate import Documented, crate_of, documented
from trainer.mining.doc_test import doc_test, statements
from trainer.mining.properties import properties, questions
from trainer.tasks.task import Split, Task
from trainer.tasks.wording import prompt_hash

ROUND = 32
"""Functions judged at a time: a batch of the farm."""
METHOD = "it is a method"
NO_EXAMPLE = "it has no example that asserts"
OTHER_ITEMS = "its examples need other items of the crate"
UNUSED = "no example calls it"
NOT_ASKED = "the farm can't ask its examples"
TWICE = "another function has the same prompt"

JudgeMany = Callable[[Sequence[Submission]], Sequence[Verdict]]


@dataclass(frozen=True, slots=True)
class Mined:
    """What became of one function: a task, or the reason why not."""

    name: str
    path: Path
    task: Task | None
    reason: str = ""
    detail: str = ""
    properties: int = 0


def mine(
    files: Sequence[Path], folder: Path, first: JudgeMany, second: JudgeMany, seen: Callable[[], None]
) -> Iterator[Mined]:
    """The fate of each documented function with code in its doc comment. `seen` is called after each file.

    One round of functions is held at a time. `first` and `second` must not share a cache.
    """

    def everywhere() -> Iterator[Documented]:
        for path in files:
            yield from documented(path, crate_of(path, folder))
            seen()

    stream, prompts = everywhere(), set[str]()
    while some := list(islice(stream, ROUND)):
        drafts: list[tuple[Documented, Task]] = []
        for found in some:
            drafted = draft(found)
            if isinstance(drafted, Task) and drafted.id in prompts:
                drafted = Mined(found.name, found.path, None, TWICE)
            if isinstance(drafted, Mined):
                yield drafted
            else:
                prompts.add(drafted.id)
                drafts.append((found, drafted))
        yield from _proved(drafts, first, second)


def draft(found: Documented) -> Task | Mined:
    """A task that is not proved yet, or why there can be none."""

    def dropped(reason: str, detail: str = "") -> Mined:
        return Mined(found.name, found.path, None, reason, detail)

    doc = doc_test(found.docs)
    if found.method:
        return dropped(METHOD)
    if not doc.examples:
        return dropped(NO_EXAMPLE)
    asked = [statements(example, found.name, found.crate) for example in doc.examples]
    able = [each for each in asked if each is not None]
    if not able:
        return dropped(OTHER_ITEMS)
    calling = [each for each in able if re.search(rf"\b{re.escape(found.name)}\b", each)]
    if not calling:
        return dropped(UNUSED)
    shown = [f"/// {line}".rstrip() for line in doc.prose]
    prompt = "\n".join([*([f"{found.before}\n"] if found.before else []), *shown, f"{found.signature} {{"])
    function = find_function(prompt + "}", found.name)
    if function is None:
        return dropped(NOT_ASKED, "its signature does not parse")
    try:
        problem = problem_of(found.name, function, "\n".join(f"{{\n{each}\n}}" for each in calling))
    except BadRow as refused:
        return dropped(NOT_ASKED, str(refused))
    after = f"\n{found.after}\n" if found.after else ""
    return Task(
        id=f"mined-{found.crate}-{found.name}-{prompt_hash(prompt)}",
        family=f"mined-{found.crate}",
        split=Split.TRAIN,
        prompt=prompt,
        instruction=instruction_of(function),
        reference=f"{found.body[1:]}\n{after}",
        problem=problem,
        tags=("mined",),
    )


def _proved(drafts: Sequence[tuple[Documented, Task]], first: JudgeMany, second: JudgeMany) -> Iterator[Mined]:
    richer = _with_properties(drafts, first)
    proofs = list(prove([task for task, _ in richer], first, second))
    # A property that does not hold twice (or that the farm can't ask) must not cost the examples' task.
    again = [at for at, proof in enumerate(proofs) if proof.standing is not Standing.VERIFIED and richer[at][1]]
    plain = prove([drafts[at][1] for at in again], first, second)
    for at, proof in zip(again, plain, strict=True):
        proofs[at], richer[at] = proof, (drafts[at][1], 0)
    for (found, _), (_, count), proof in zip(drafts, richer, proofs, strict=True):
        yield _mined(found, proof, count)


def _with_properties(drafts: Sequence[tuple[Documented, Task]], judge: JudgeMany) -> list[tuple[Task, int]]:
    """The tasks, with what the original answers to random inputs as further assertions, and how many these are."""
    asked: list[tuple[int, Problem]] = []
    for at, (found, _) in enumerate(drafts):
        if (problem := questions(found, seed=0)) is not None:
            asked.append((at, problem))
    told = judge([Submission(f"{drafts[at][1].id}#ask", drafts[at][1].solved, problem) for at, problem in asked])
    richer = [(task, 0) for _, task in drafts]
    for (at, problem), verdict in zip(asked, told, strict=True):
        if more := properties(problem, verdict):
            task = drafts[at][1]
            text = f"{task.problem.assertions}\n{more}"
            richer[at] = (replace(task, problem=replace(task.problem, assertions=text)), more.count("assert_eq!"))
    return richer


def _mined(found: Documented, proof: Proof, count: int) -> Mined:
    if proof.standing is Standing.VERIFIED:
        tags = (*proof.task.tags, *(("properties",) if count else ()))
        return Mined(found.name, found.path, replace(proof.task, tags=tags), properties=count)
    outcome, _, detail = proof.reason.partition(": ")
    reasons = {
        "rejected": "the sandbox's gate refuses it (unsafe, I/O, ...)",
        "compile_error": "it does not compile on its own",
        "test_failed": "its examples don't hold",
    }
    if proof.standing is Standing.HOLLOW:
        return Mined(found.name, found.path, None, "an answer without a body passes")
    return Mined(found.name, found.path, None, reasons.get(outcome, f"{proof.standing}: {outcome}"), detail)
