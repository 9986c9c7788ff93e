"""What the documentation says exists: every command parses as it stands, every link and every named module is there."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import typer

from services.cli import app

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(?:bash|sh)?\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`((?:ferrotype|python -m) [^`]+)`")
LINK = re.compile(r"\]\((?!https?:)([^)#]+)")
STARTS = ("ferrotype ", "python -m services ")


def commands(page: Path) -> Iterator[str]:
    """Those of ours, one a line: of code blocks, and of the text."""
    text = page.read_text()
    for block in BLOCK.findall(text):
        for line in re.sub(r"\\\n\s*", " ", block).splitlines():
            yield from re.split(r" && | \| | -- ", line.strip())
    for found in INLINE.findall(text):
        yield " ".join(found.split())


def ours(pages: list[Path], starts: tuple[str, ...]) -> list[tuple[str, str]]:
    """Each once, with the page that says it."""
    said = {line: page.name for page in pages for line in commands(page) if line.startswith(starts)}
    return [(page, line) for line, page in said.items()]


@pytest.mark.parametrize(("page", "line"), ours(PAGES, STARTS))
def test_every_command_parses(page: str, line: str) -> None:
    words = shlex.split(line, comments=True)
    words = words[1:] if words[0] == "ferrotype" else words[3:]
    # `ferrotype jobs follow|stop ID` and `[--option]` name forms; each must parse.
    for form in _forms([word.strip("[]") for word in words if word not in ("…", "...", "&")]):
        _parse(form)


def _forms(words: list[str]) -> Iterator[list[str]]:
    for place, word in enumerate(words):
        if re.fullmatch(r"[a-z]+(\|[a-z]+)+", word) and not words[place - 1].startswith("--"):
            for choice in word.split("|"):
                yield from _forms([*words[:place], choice, *words[place + 1 :]])
            return
    yield words


def _parse(words: list[str]) -> None:
    command: Any = typer.main.get_command(app)
    while hasattr(command, "commands") and words and not words[0].startswith("--"):
        name, *words = words
        found = command.get_command(None, name)
        assert found is not None, f"there is no command {name}"
        command = found
    named = [option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)]
    for word in words:
        if word.startswith("--"):
            assert word.partition("=")[0] in [*named, "--help"], f"{command.name} has no {word}; it has {named}"


@pytest.mark.parametrize(("page", "line"), ours(PAGES, ("python -m ",)))
def test_every_module_that_is_run_is_there(page: str, line: str) -> None:
    assert find_spec(shlex.split(line, comments=True)[2]) is not None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_and_file_is_there(page: Path) -> None:
    lost = [link for link in LINK.findall(page.read_text()) if not (page.parent / link).exists()]
    assert not lost


def test_scripts_that_are_named_are_there() -> None:
    said = {script for page in PAGES for script in re.findall(r"\./(scripts/\w+\.sh)", page.read_text())}
    assert said
    assert not [script for script in said if not (ROOT / script).stat().st_mode & 0o111]
