"""A doc comment as prose, which a task shows, and examples, which it hides. Pure text; never runs Rust."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from trainer.benchmarks.rust_function import functions

_UNRUN = ("ignore", "no_run", "compile_fail", "should_panic", "text", "toml", "console", "sh", "json", "none")
_EXAMPLES = re.compile(r"^#+\s*(doc)?\s*(basic\s+)?(examples?|usage)\b", re.IGNORECASE)
_USE = re.compile(r"^\s*(?:#\[macro_use\]\s*)?(?:extern crate [^;]*|use ([^;]+));\s*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class DocTest:
    """`prose` has no example in it: what is shown would be no test."""

    prose: tuple[str, ...]
    examples: tuple[str, ...]


def doc_test(lines: Sequence[str]) -> DocTest:
    """The parts of a doc comment, given without its slashes."""
    prose: list[str] = []
    examples: list[str] = []
    block: list[str] | None = None
    language = ""
    for line in lines:
        if line.strip().startswith("```"):
            if block is None:
                block, language = [], line.strip().strip("`").lower()
            else:
                if not any(word in language for word in _UNRUN) and "assert" in "\n".join(block):
                    examples.append("\n".join(block))
                block = None
        elif block is not None:
            bare = line.lstrip()
            block.append(bare[2:] if bare.startswith("# ") else "" if bare == "#" else line)
        elif not _EXAMPLES.match(line.strip()):
            prose.append(line.rstrip())
    while prose and (not prose[-1].strip() or prose[-1].rstrip().endswith(":") or prose[-1].startswith("#")):
        prose.pop()
    return DocTest(tuple(_without_gaps(prose)), tuple(examples))


def statements(example: str, entry: str, crate: str) -> str | None:
    """What an example does, calling `entry` by its bare name; None if it needs other items of its crate."""
    main = next((each for each in functions(example) if each.name == "main"), None)
    body = main.body.strip()[1:-1] if main else example
    uses = [found for found in _USE.finditer(example) if found[1]]
    kept = []
    for found in uses:
        path = found[1].strip()
        names = {name for name in re.findall(r"\w+", path.partition("::")[2]) if name != "self"}
        if path.split("::")[0].lstrip(":") in (crate, "crate", "super", "self"):
            imported = set(re.findall(r"(\w+)\s*(?:[,}]|$)", path)) | ({"*"} if path.endswith("*") else set())
            used = {name for name in imported - {entry, "*", crate} if not re.search(rf"\b{name}::{entry}\b", example)}
            if used:
                return None
        elif entry not in names:
            kept.append(f"use {path};")
    body = _USE.sub("", body)
    body = re.sub(rf"\b(?:[a-z_]\w*::)+(?={re.escape(entry)}\b)", "", body)
    if re.search(rf"\b(?:{re.escape(crate)}|crate)::", body):
        return None
    return "\n".join([*dict.fromkeys(kept), body.strip()])


def _without_gaps(lines: Sequence[str]) -> list[str]:
    """No empty line at the start, nor two in a row."""
    kept: list[str] = []
    for line in lines:
        if line.strip() or (kept and kept[-1].strip()):
            kept.append(line)
    return kept
