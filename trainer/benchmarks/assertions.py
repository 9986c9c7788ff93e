"""A benchmark's test program as the statements that the reward farm asks: the bodies of its tests. Pure."""

from __future__ import annotations

from textwrap import dedent

from reward_farm.errors import FarmError
from reward_farm.exam import prepare
from reward_farm.problem import Problem
from trainer.benchmarks.errors import BadRow
from trainer.benchmarks.rust_function import RustFunction, functions


def assertions_of(test: str, imports: str = "") -> str:
    """The statements of a test program: of each `#[test]` function, or else of `main`, with the `use` lines they need.

    `imports` is source whose `use` lines the test relies on: the benchmark's prompt.

    Raises:
        BadRow: it has neither.
    """
    found = list(functions(test))
    tests = [each for each in found if each.is_test] or [each for each in found if each.name == "main"]
    if not tests:
        raise BadRow("the test has neither a #[test] function nor main")
    uses = [line.strip() for line in (imports + "\n" + test).splitlines() if line.strip().startswith("use ")]
    kept = [line for line in dict.fromkeys(uses) if not line.startswith("use super::")]
    bodies = [_statements(each) for each in tests]
    return "\n".join([*kept, *(bodies if len(bodies) == 1 else (f"{{\n{body}\n}}" for body in bodies))])


def problem_of(entry: str, function: RustFunction | None, assertions: str) -> Problem:
    """The problem of a function and its assertions.

    Types are left to the compiler, as the benchmark's own harness does, where the assertions bite without them.

    Raises:
        BadRow: the farm can't ask these assertions.
    """
    plain = Problem(entry, (), "", assertions=assertions)
    problems = [plain]
    if function is not None:
        problems.append(Problem(entry, function.params, function.returns, assertions=assertions))
    for problem in problems:
        try:
            prepare(problem)
            return problem
        except FarmError as error:
            refused = error
    raise BadRow(f"the farm can't ask its test: {refused}")


def _statements(function: RustFunction) -> str:
    return dedent(function.body.strip()[1:-1].strip("\n"))
