"""Reads rustc's JSON diagnostics of a batch, and says which candidate each is about. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from reward_farm.verdict import Diagnostic

MAX_PER_CANDIDATE = 64
_MESSAGE_CHARACTERS = 400


@dataclass(slots=True)
class Report:
    """What one rustc run said: errors and warnings by candidate, and what names none."""

    errors: dict[int, list[Diagnostic]] = field(default_factory=dict)
    warnings: dict[int, list[Diagnostic]] = field(default_factory=dict)
    strays: list[str] = field(default_factory=list)
    """Errors about no candidate's file: the linker's, the disk's, rustc's own."""
    analysed: bool = False
    """Metadata was written, so every candidate passed type-checking; errors after that are of code generation."""


def read_report(output: bytes, token: str) -> Report:
    """The report of a run whose modules are `m{token}_{i}` in `c{i}.rs`, with glue in `g{token}_{i}.rs`.

    The token is random, so neither file nor module name can be forged in a message.
    """
    reader = _Reader(token)
    for line in output.splitlines():
        if line.startswith(b"{"):
            try:
                reader.read(json.loads(line))
            except (ValueError, KeyError, TypeError):  # cut off where the output was
                continue
    for found in (reader.report.errors, reader.report.warnings):
        for diagnostics in found.values():
            diagnostics.sort(key=lambda diagnostic: (diagnostic.line, diagnostic.column, diagnostic.code or ""))
            del diagnostics[MAX_PER_CANDIDATE:]
    return reader.report


class _Reader:
    def __init__(self, token: str) -> None:
        self.report = Report()
        self._file = re.compile(rf"(?:^|/)([cg]){token}_(\d+)\.rs$")
        self._module = re.compile(rf"\b[mg]{token}_(\d+)\b")
        self._prefix = re.compile(rf"\b(?:crate::)?[mg]{token}_\d+::")

    def read(self, entry: dict[str, Any]) -> None:
        if entry.get("$message_type") == "artifact":
            self.report.analysed |= entry.get("emit") == "metadata"
            return
        level = str(entry.get("level"))
        failed = level.startswith("error")
        if not failed and level != "warning":
            return
        owner, span = self._owner(entry)
        if owner is None:
            if failed and not entry["message"].startswith("aborting due to"):
                self.report.strays.append(entry["message"][:_MESSAGE_CHARACTERS])
            return
        code = (entry.get("code") or {}).get("code")
        message = self._said(entry["message"])
        if not failed and span is None:
            return  # about the glue
        label = self._said(span["label"] or "") if span is not None and span["is_primary"] else ""
        diagnostic = Diagnostic("error" if failed else "warning", code, message, *_place(span), label)
        found = (self.report.errors if failed else self.report.warnings).setdefault(owner, [])
        if diagnostic not in found:
            found.append(diagnostic)

    def _said(self, text: str) -> str:
        """As if the candidate were a file of its own."""
        return self._prefix.sub("", text)[:_MESSAGE_CHARACTERS]

    def _owner(self, entry: dict[str, Any]) -> tuple[int | None, dict[str, Any] | None]:
        """The candidate that a diagnostic is about, and the span in its source if there is one.

        The first span in anybody's source or glue, macro calls included, says whom. What a message points at besides
        may be a sibling's: rustc suggests names that look alike.
        """
        spans = sorted(entry["spans"], key=lambda span: not span["is_primary"])
        for child in entry["children"]:
            spans += child["spans"]
        owner: int | None = None
        for span in (outer for inner in spans for outer in _expansions(inner)):
            match = self._file.search(span["file_name"])
            if match is None or owner not in (None, int(match[2])):
                continue
            owner = int(match[2])
            if match[1] == "c":
                return owner, span
        if owner is None:
            named = self._module.search(entry["message"])
            owner = int(named[1]) if named else None
        return owner, None


def _place(span: dict[str, Any] | None) -> tuple[int, int, int, int]:
    """Start and end. An error of the glue alone, such as a wrong signature, stands at the file's start."""
    if span is None:
        return 1, 1, 1, 1
    return span["line_start"], span["column_start"], span["line_end"], span["column_end"]


def _expansions(span: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The span, then the macro calls that it came from, innermost first."""
    current: dict[str, Any] | None = span
    while current is not None:
        yield current
        current = (current.get("expansion") or {}).get("span")
