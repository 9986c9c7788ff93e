"""The farm's answer to one submission: `Scored`, or `InfraFault` when the fault is ours.

A verdict is data and never raises. Candidate text can never cause an `InfraFault`, and an `InfraFault` never
carries a reward.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias


class Outcome(StrEnum):
    """What happened to a candidate, from the parent's own observations only. Ordered from worst to best."""

    REJECTED = "rejected"
    """The static gate refused it: not UTF-8, too large, or a forbidden construct (`Scored.cheat` names the kind)."""
    PARSE_ERROR = "parse_error"
    MISSING_ITEM = "missing_item"
    """It parses, but the item that the task asks for is not defined."""
    COMPILE_ERROR = "compile_error"
    COMPILER_CRASH = "compiler_crash"
    COMPILE_TIMEOUT = "compile_timeout"
    COMPILE_MEMORY = "compile_memory"
    LINK_FAILED = "link_failed"
    """Type-checks, but code generation or linking fails."""
    TEST_CRASH = "test_crash"
    TEST_TIMEOUT = "test_timeout"
    OUTPUT_LIMIT = "output_limit"
    """It answered with more than a test may. What it prints goes nowhere, and costs only its own time."""
    TEST_FAILED = "test_failed"
    PASSED = "passed"
    """Compiled clean and passed every hidden case (or has none)."""

    @property
    def parsed(self) -> bool:
        """tree-sitter found no error and the required item is defined."""
        return self not in _UNPARSED

    @property
    def compiled(self) -> bool:
        """rustc type-checked it without error."""
        return self in _COMPILED


# Made once: an evaluation asks for them dozens of times a sample.
_UNPARSED = frozenset({Outcome.REJECTED, Outcome.PARSE_ERROR, Outcome.MISSING_ITEM})
_COMPILED = frozenset(
    {
        Outcome.LINK_FAILED,
        Outcome.TEST_CRASH,
        Outcome.TEST_TIMEOUT,
        Outcome.OUTPUT_LIMIT,
        Outcome.TEST_FAILED,
        Outcome.PASSED,
    }
)


class Stage(StrEnum):
    """Where the compiler found an error, in the order in which it looks. rustc goes on after most errors."""

    PARSE = "parse"
    RESOLVE = "resolve"
    TYPES = "types"
    BORROW = "borrow"
    LINT = "lint"
    CODEGEN = "codegen"


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One rustc or clippy error or warning. `code` is None for parse and plain lifetime errors.

    Lines and columns are 1-based; the span ends before `end_column` of `end_line`.
    """

    level: str
    code: str | None
    message: str
    line: int
    column: int
    end_line: int = 0
    end_column: int = 0
    label: str = ""
    """What rustc writes at the span itself."""

    @property
    def is_lint(self) -> bool:
        """clippy said it, not rustc."""
        return self.code is not None and self.code.startswith("clippy::")


@dataclass(frozen=True, slots=True)
class CaseResult:
    """A hidden case: `status` is passed, failed, flaky, crashed, timeout or flooded.

    Flaky was right when asked first and not when asked again. `got` is the value read back, cut at 200 chars.
    """

    status: str
    got: str | None = None


@dataclass(frozen=True, slots=True)
class SyntaxMetrics:
    """What tree-sitter saw in the entry function and what it reaches: the inputs of the reward's quality part."""

    lines: int
    functions: int
    documented_functions: int
    """A method for a trait counts as documented: its docs are the trait's."""
    uses_iterators_or_closures: bool
    returns_result_or_option: bool
    panicking_calls: int
    """`unwrap`, `expect`, `panic!`, `todo!`, `unimplemented!`, `unreachable!`."""
    cyclomatic_complexity: float
    """Mean over functions: 1 + branches, loops, match arms beyond the first, `&&`, `||`, `?`."""
    max_nesting: int
    iterator_calls: int = 0
    closures: int = 0
    pattern_matches: int = 0
    """`match`, `if let`, `while let`, `let ... else` and `matches!`."""
    destructurings: int = 0
    """Patterns of tuples, structs and slices."""
    longest_chain: int = 0
    """Method calls in a row."""
    turbofishes: int = 0
    try_operators: int = 0
    fallible_functions: int = 0
    """Functions that return `Result` or `Option`."""
    unwraps: int = 0
    expects: int = 0
    panics: int = 0
    structs: int = 0
    enums: int = 0
    traits: int = 0
    documented_items: int = 0
    items: int = 0
    """Functions and types."""
    unsafe_blocks: int = 0
    """None that was judged has any: the gate refuses them."""


@dataclass(frozen=True, slots=True)
class RewardBreakdown:
    """Points by part, on the design's scale: 4 + 6 + 1 + 12 + 7 = 30."""

    parses: float = 0.0
    compiles: float = 0.0
    no_warnings: float = 0.0
    tests: float = 0.0
    quality: float = 0.0

    @property
    def total(self) -> float:
        """Sum of the parts, 0 to 30."""
        return self.parses + self.compiles + self.no_warnings + self.tests + self.quality


@dataclass(frozen=True, slots=True)
class Timings:
    """Milliseconds of wall time; what a batch shares is divided by its size."""

    gate_ms: float = 0.0
    compile_ms: float = 0.0
    test_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Scored:
    """A verdict about the candidate."""

    id: str
    outcome: Outcome
    reward: RewardBreakdown
    diagnostics: tuple[Diagnostic, ...] = ()
    cases: tuple[CaseResult, ...] = ()
    cheat: str | None = None
    metrics: SyntaxMetrics | None = None
    timings: Timings = Timings()
    isolation: tuple[str, ...] = ()
    """Names of the sandbox layers that it ran under; empty if it never reached the sandbox."""
    cached: bool = False
    stage: Stage | None = None
    """The earliest stage with an error, where it did not compile."""
    oracle_outside: bool = True
    """False where the expected answers had to enter the sandbox (`Problem.assertions`): weaker evidence of a pass."""

    @property
    def parsed(self) -> bool:
        """tree-sitter found no error and the required item is defined."""
        return self.outcome.parsed

    @property
    def compiled(self) -> bool:
        """rustc type-checked it without error."""
        return self.outcome.compiled

    @property
    def passed(self) -> bool:
        """Passed every hidden case."""
        return self.outcome is Outcome.PASSED


@dataclass(frozen=True, slots=True)
class InfraFault:
    """Our fault (worker died, sandbox could not start, disk full). Never becomes a reward."""

    id: str
    reason: str


Verdict: TypeAlias = Scored | InfraFault
