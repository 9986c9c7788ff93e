"""A verdict as rustc would print it: the message, the place, the lines with carets under the span. Prints nothing.

error[E0308]: mismatched types
 --> even.rs:2:5
  |
2 |     x + 1
  |     ^^^^^ expected `bool`, found `i32`
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.cells import cell_len

from reward_farm.verdict import Diagnostic, InfraFault, Outcome, Scored, Verdict

TAB = "    "
"""As wide as rustc shows a tab."""
MOST_SPAN_LINES = 8
"""Of a longer span, the first lines and the last are shown."""

_RED, _YELLOW, _BLUE, _GREEN, _BOLD, _END = "\x1b[1;31m", "\x1b[1;33m", "\x1b[1;34m", "\x1b[1;32m", "\x1b[1m", "\x1b[0m"
_SAYS = {
    Outcome.PARSE_ERROR: "it is not Rust",
    Outcome.COMPILER_CRASH: "the compiler crashed",
    Outcome.COMPILE_TIMEOUT: "the compiler ran out of time",
    Outcome.COMPILE_MEMORY: "the compiler ran out of memory",
    Outcome.LINK_FAILED: "it type-checks, but code generation or linking fails",
    Outcome.TEST_CRASH: "it compiles, but crashes",
    Outcome.TEST_TIMEOUT: "it compiles, but does not end in time",
    Outcome.OUTPUT_LIMIT: "it compiles, but prints or answers too much",
    Outcome.TEST_FAILED: "it compiles, but gives wrong answers",
}


@dataclass(frozen=True, slots=True)
class _Pen:
    colour: bool

    def __call__(self, style: str, text: str) -> str:
        return f"{style}{text}{_END}" if self.colour and text else text


def render(verdict: Verdict, source: str, name: str, entry: str = "", colour: bool = False) -> str:
    """What a person reads about `source`, the text of the file `name`, judged as one that must define `entry`."""
    pen = _Pen(colour)
    if isinstance(verdict, InfraFault):
        return f"{pen(_RED, 'fault')}: {name} could not be judged: {verdict.reason}\n"
    lines = source.removeprefix("\ufeff").split("\n")
    shown = [_diagnostic(found, lines, name, pen) for found in verdict.diagnostics]
    return "\n".join([*shown, _summary(verdict, name, entry, pen)]) + "\n"


def _diagnostic(found: Diagnostic, lines: Sequence[str], name: str, pen: _Pen) -> str:
    style = _RED if found.level == "error" else _YELLOW
    coded = found.level if found.code is None else f"{found.level}[{found.code}]"
    message = "\n".join(map(_flat, found.message.split("\n")))
    margin = _Margin(len(str(max(found.line, found.end_line))), pen)
    head = [
        pen(style, coded) + pen(_BOLD, f": {message}"),
        f"{pen(_BLUE, ' ' * margin.width + '-->')} {name}:{found.line}:{found.column}",
    ]
    if not 1 <= found.line <= len(lines):
        return "\n".join(head) + "\n"
    shown = _span if found.end_line > found.line else _one_line
    return "\n".join([*head, margin().rstrip(" "), *shown(found, lines, margin, style)]) + "\n"


@dataclass(frozen=True, slots=True)
class _Margin:
    """What stands left of the source: a line's number or nothing, and a bar."""

    width: int
    pen: _Pen

    def __call__(self, number: int | None = None) -> str:
        return self.pen(_BLUE, f"{'' if number is None else number:>{self.width}} |") + " "


def _one_line(found: Diagnostic, lines: Sequence[str], margin: _Margin, style: str) -> Iterator[str]:
    text = lines[found.line - 1].rstrip("\r")
    start, end = found.column - 1, max(found.end_column, found.column + 1) - 1
    yield margin(found.line) + _flat(text)
    carets = "^" * max(1, cell_len(_flat(text[start:end])))
    yield margin() + " " * cell_len(_flat(text[:start])) + margin.pen(style, carets + _label(found))


def _span(found: Diagnostic, lines: Sequence[str], margin: _Margin, style: str) -> Iterator[str]:
    """Several lines, with a rail at their left."""
    numbers = range(found.line, min(found.end_line, len(lines)) + 1)
    before = lines[found.line - 1][: found.column - 1]
    starts_line = not before.strip()
    half = MOST_SPAN_LINES // 2
    for place, number in enumerate(numbers):
        if len(numbers) > MOST_SPAN_LINES and half <= place < len(numbers) - half:
            if place == half:
                yield margin.pen(_BLUE, "...".ljust(margin.width + 2)) + " " + margin.pen(style, "|")
            continue
        rail = "|" if place else "/" if starts_line else " "
        yield f"{margin(number)}{margin.pen(style, rail)} {_flat(lines[number - 1])}".rstrip()
        if place == 0 and not starts_line:
            yield margin() + margin.pen(style, f" {'_' * (cell_len(_flat(before)) + 1)}^")
    end = cell_len(_flat(lines[numbers[-1] - 1][: max(1, found.end_column - 1)]))
    yield margin() + margin.pen(style, f"|{'_' * end}^{_label(found)}")


def _label(found: Diagnostic) -> str:
    label = " ".join(map(_flat, found.label.split("\n")))
    return f" {label}" if label else ""


def _summary(verdict: Scored, name: str, entry: str, pen: _Pen) -> str:
    counts = Counter(found.level for found in verdict.diagnostics)
    said = ", ".join(f"{n} {level}{'s' * (n > 1)}" for level in ("error", "warning") if (n := counts[level]))
    passed = sum(case.status == "passed" for case in verdict.cases)
    cases = f"{passed} of {len(verdict.cases)} cases pass" if verdict.cases else ""
    if verdict.passed:
        what = pen(_GREEN, "ok")
        why = "compiles clean" if not counts["warning"] else "compiles"
    else:
        what = pen(_RED, str(verdict.outcome))
        stage = f"it does not compile ({verdict.stage})" if verdict.stage else "it does not compile"
        refused = f"refused by the gate: {verdict.cheat}"
        why = {Outcome.REJECTED: refused, Outcome.MISSING_ITEM: f"`fn {entry}` is not defined"}.get(
            verdict.outcome, _SAYS.get(verdict.outcome, stage)
        )
    return f"{pen(_BOLD, name + ': ')}{what}: {'; '.join(filter(None, (why, said, cases)))}"


def _flat(text: str) -> str:
    """Tabs as spaces, and no character that a terminal would obey: the text may be hostile."""
    return "".join(TAB if char == "\t" else char if char.isprintable() else "\ufffd" for char in text)
