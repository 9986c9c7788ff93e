"""Rows of published Rust benchmarks as tasks. One function a form; each is given a row and returns its tasks. Pure.

MultiPL-E: Cassano et al. 2022, arXiv 2208.08227. HumanEval-X: Zheng et al. 2023, arXiv 2303.17568. HumanEvalPack (its
fixing part): Muennighoff et al. 2023, arXiv 2308.07124.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from reward_farm.document import read_problem
from reward_farm.errors import FarmError
from reward_farm.exam import prepare
from trainer.benchmarks.assertions import assertions_of, problem_of
from trainer.benchmarks.errors import BadRow
from trainer.benchmarks.rust_function import RustFunction, find_function, functions, instruction_of
from trainer.tasks.task import Form, Split, Task

Row = Mapping[str, Any]
Reader = Callable[[Row], Iterator[Task]]

OWN_KEYS = frozenset(
    ("id", "prompt", "problem", "instruction", "reference", "answer", "suffix", "family", "difficulty", "tags", "form")
)


def multipl_e(row: Row) -> Iterator[Task]:
    """MultiPL-E: `name` (or `task_id`), `prompt`, `tests` (or `test`); a known answer in `canonical_solution`."""
    name = _text(row, "name", "task_id")
    prompt, test = _text(row, "prompt").rstrip("\n"), _text(row, "tests", "test")
    function = _last_function(prompt)
    entry = str(row.get("entry_point") or function.name)
    statements = assertions_of(test, imports=prompt)
    known = str(row.get("canonical_solution") or "")
    yield Task(
        id=name,
        family="mbpp-rs" if name.startswith("mbpp") else "humaneval-rs",
        split=Split.BENCHMARK,
        prompt=prompt,
        instruction=instruction_of(function),
        reference=_whole(known.removeprefix(prompt)) if known.startswith(prompt) else "",
        answer=_whole(known) if known and not known.startswith(prompt) else "",
        problem=problem_of(entry, None, statements),
        tags=("multipl-e",),
    )


def humaneval_x(row: Row) -> Iterator[Task]:
    """HumanEval-X: `task_id`, `prompt`, `declaration`, `canonical_solution`, `test`."""
    prompt = (_text(row, "prompt") + _text(row, "declaration")).rstrip()
    yield _of_pair(row, prompt, "humaneval-x", ("humaneval-x",))


def humanevalpack(row: Row) -> Iterator[Task]:
    """HumanEvalPack: HumanEval-X's keys and `buggy_solution`: a task to write the function, and one to mend it."""
    # Its prompt ends with the declaration already.
    given = _text(row, "prompt")
    declaration = _text(row, "declaration")
    prompt = (given if declaration.strip() in given else given + declaration).rstrip()
    task = _of_pair(row, prompt, "humanevalpack", ("humanevalpack",))
    yield task
    buggy = row.get("buggy_solution")
    if not isinstance(buggy, str) or not buggy.strip():
        return
    broken = f"{prompt}\n{buggy.strip(chr(10))}"
    shown = "\n".join(f"// {line}".rstrip() for line in broken.splitlines())
    yield Task(
        id=f"{task.id}/fix",
        family="humanevalpack-fix",
        split=Split.BENCHMARK,
        prompt=f"// This code is wrong:\n{shown}\n// Mended:\n{prompt}",
        instruction=f"This Rust code is wrong:\n```rust\n{broken}\n```\nMend it.",
        reference=task.reference,
        problem=task.problem,
        tags=("humanevalpack", str(row.get("bug_type", ""))),
        form=Form.REPAIR,
    )


def own(row: Row) -> Iterator[Task]:
    """Ferrotype's own form, as docs/tasks.md has it: `id`, `prompt`, `problem`, and what else is known."""
    if unknown := sorted(row.keys() - OWN_KEYS):
        raise BadRow(f"unknown keys {', '.join(unknown)}; a task has {', '.join(sorted(OWN_KEYS))}")
    prompt = _text(row, "prompt")
    try:
        problem = read_problem(row.get("problem", {}))
        prepare(problem)
    except FarmError as error:
        raise BadRow(f'"problem": {error}') from error
    if not problem.runs:
        raise BadRow('"problem" asks nothing: give it "cases" or "assertions"')
    form = str(row.get("form", Form.COMPLETE))
    if form not in tuple(Form):
        raise BadRow(f'"form" is {form!r}; it is one of {", ".join(Form)}')
    if form == Form.COMPLETE and not prompt.endswith("{"):
        raise BadRow('"prompt" must end with the signature\'s {, with no newline: tokenizers join the two')
    function = find_function(prompt + "}", problem.entry)
    instruction = str(row.get("instruction") or (instruction_of(function) if function else ""))
    if not instruction:
        raise BadRow(f'"instruction" is missing, and "prompt" does not declare `{problem.entry}` to make it from')
    difficulty = row.get("difficulty", 0.5)
    if isinstance(difficulty, bool) or not isinstance(difficulty, (int, float)) or not 0 <= difficulty <= 1:
        raise BadRow('"difficulty" is a number from 0 to 1')
    yield Task(
        id=_text(row, "id"),
        family=str(row.get("family", "own")),
        split=Split.BENCHMARK,
        prompt=prompt,
        instruction=instruction,
        reference=str(row.get("reference", "")),
        answer=str(row.get("answer", "")),
        problem=problem,
        difficulty=float(difficulty),
        tags=tuple(map(str, row.get("tags", ()))),
        form=Form(form),
        suffix=str(row.get("suffix", "")),
    )


def form_of(row: Row) -> str:
    """The form whose keys a row has.

    Raises:
        BadRow: none of them.
    """
    if "problem" in row:
        return "ferrotype"
    if "buggy_solution" in row:
        return "humanevalpack"
    if "declaration" in row:
        return "humaneval-x"
    if "tests" in row or "test" in row:
        return "multipl-e"
    raise BadRow(f"it is in none of the forms {', '.join(FORMS)}: its keys are {', '.join(sorted(row)) or 'none'}")


FORMS: Mapping[str, Reader] = {
    "ferrotype": own,
    "multipl-e": multipl_e,
    "humaneval-x": humaneval_x,
    "humanevalpack": humanevalpack,
}


def _of_pair(row: Row, prompt: str, family: str, tags: tuple[str, ...]) -> Task:
    function = _last_function(prompt)
    test, known = _text(row, "test"), str(row.get("canonical_solution") or "")
    described = str(row.get("docstring") or "").strip()
    asked = f"Write a Rust function `{function.signature}`.\n{described}" if described else instruction_of(function)
    return Task(
        id=_text(row, "task_id"),
        family=family,
        split=Split.BENCHMARK,
        prompt=prompt,
        instruction=asked,
        reference=_whole(f"\n{known.strip(chr(10))}") if known.strip() else "",
        problem=problem_of(function.name, function, assertions_of(test, imports=prompt)),
        tags=tags,
    )


def _last_function(prompt: str) -> RustFunction:
    """The function that a prompt leaves open."""
    found = list(functions(prompt + "}"))
    if not found or not prompt.endswith("{"):
        raise BadRow("its prompt does not end with the signature of a function and {")
    return found[-1]


def _text(row: Row, *names: str) -> str:
    for name in names:
        if isinstance(value := row.get(name), str) and value.strip():
            return value
    raise BadRow(f"it lacks {' or '.join(names)}, as text")


def _whole(source: str) -> str:
    return source.rstrip() + "\n"
