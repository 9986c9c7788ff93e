"""Rust source as an HTML listing: coloured, numbered, rustc's diagnostics under the lines that they speak of."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence

from reward_farm.verdict import Diagnostic
from services.report.markup import Markup, join, tag

MOST_LINES = 60
"""A completion that rambles on is cut here; its diagnostics are still counted."""

FURTHEST_POINTER = 24
"""Columns further right are named: under them there would be no room for the message on a phone."""

_TOKENS = re.compile(
    r"(?P<comment>//[^\n]*)"
    r'|(?P<string>b?"(?:[^"\\\n]|\\.)*"|b?\'(?:[^\'\\\n]|\\.)\')'
    r"|(?P<keyword>\b(?:as|break|const|continue|crate|dyn|else|enum|fn|for|if|impl|in|let|loop|match|mod|move|mut|pub|"
    r"ref|return|self|Self|static|struct|trait|type|unsafe|use|where|while|true|false)\b)"
    r"|(?P<type>\b(?:[iu](?:8|16|32|64|128|size)|f32|f64|bool|char|str|[A-Z]\w*)\b)"
    r"|(?P<number>\b\d[\w.]*\b)"
    r"|(?P<macro>\b\w+!)"
)


def listing(source: str, diagnostics: Sequence[Diagnostic], *, given: int) -> Markup:
    """A source file whose first `given` lines were given to the model; those are shown fainter."""
    by_line: dict[int, list[Diagnostic]] = defaultdict(list)
    for diagnostic in diagnostics:
        by_line[diagnostic.line].append(diagnostic)
    lines = source.rstrip("\n").split("\n")
    rows = [
        join(
            tag("span", tag("i", f"{number:3} "), _colored(line), class_="row given" if number <= given else "row"),
            [_remark(diagnostic) for diagnostic in by_line[number]],
        )
        for number, line in enumerate(lines[:MOST_LINES], 1)
    ]
    if len(lines) > MOST_LINES:
        rows.append(tag("span", f"... {len(lines) - MOST_LINES} more lines", class_="row given"))
    return tag("pre", tag("code", rows))


def _remark(diagnostic: Diagnostic) -> Markup:
    code = f"[{diagnostic.code}]" if diagnostic.code else ""
    message = diagnostic.message.partition("\n")[0]
    if diagnostic.column <= FURTHEST_POINTER:
        text = f"{' ' * (3 + diagnostic.column)}^ {diagnostic.level}{code}: {message}"
    else:
        text = f"    {diagnostic.level}{code} at column {diagnostic.column}: {message}"
    return tag("span", text, class_="row error" if diagnostic.level == "error" else "row warning")


def _colored(line: str) -> Markup:
    parts: list[Markup] = []
    place = 0
    for match in _TOKENS.finditer(line):
        parts += [join(line[place : match.start()]), tag("span", match.group(), class_=match.lastgroup)]
        place = match.end()
    return join(parts, line[place:])
