"""Documentation and the examples inside it: shortens doc comments to their summaries, and turns their Rust blocks into
programs that stand alone, as rustdoc would run them. Compiles nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator

_DOC_RUN = re.compile(r"^([ \t]*)(//[/!])(?!/).*\n(?:\1\2(?!/).*\n)*", re.MULTILINE)
_BLOCK = re.compile(r"^ {0,3}(`{3,})([^\n`]*)\n(.*?)^ {0,3}\1[ \t]*$", re.MULTILINE | re.DOTALL)
# What rustdoc takes for Rust: no tag, or these. `ignore`, `compile_fail` and other languages aren't programs that run.
_RUST_TAGS = {"", "rust", "should_panic", "no_run", "edition2018", "edition2021", "editable", "mdbook-runnable"}
_MAIN = re.compile(r"\bfn main\s*\(")


def shorten_docs(source: str) -> tuple[str, list[str]]:
    """Returns the source with each doc comment cut to its first paragraph, and the examples that the comments held.

    A summary and a signature fit a small window together; a page of documentation pushes the code out of it.
    """
    examples: list[str] = []

    def shorten(match: re.Match[str]) -> str:
        indent, marker = match[1], match[2]
        lines = [line.strip()[3:] for line in match[0].splitlines()]
        text = "\n".join(line.removeprefix(" ") for line in lines)
        examples.extend(rust_blocks(text))
        summary = text.strip().split("\n\n")[0].rstrip()
        if marker == "//!" or not summary or summary.startswith(("#", "```")):
            return ""
        return "".join(f"{indent}///{' ' if line else ''}{line}\n" for line in summary.split("\n"))

    return _DOC_RUN.sub(shorten, source), examples


def rust_blocks(markdown: str) -> Iterator[str]:
    """The fenced Rust examples of a text, each as a whole program: hidden lines shown, wrapped in `main` if need be."""
    for match in _BLOCK.finditer(markdown):
        tags = {tag.strip() for tag in re.split(r"[,\s]+", match[2])}
        if not tags <= _RUST_TAGS:
            continue
        code = "\n".join(_unhide(line) for line in match[3].splitlines()).strip("\n")
        # Nightly features don't compile on a stable compiler; mdbook includes aren't code.
        if not code.strip() or "#![" in code or "{{#" in code:
            continue
        yield code + "\n" if _MAIN.search(code) else wrap_in_main(code)


def wrap_in_main(code: str) -> str:
    """Statements as a program."""
    body = "\n".join(f"    {line}" if line.strip() else "" for line in code.splitlines())
    return f"fn main() {{\n{body}\n}}\n"


def _unhide(line: str) -> str:
    """rustdoc hides lines that begin with `# ` and compiles them all the same; `##` stands for one `#`."""
    bare = line.lstrip()
    indent = line[: len(line) - len(bare)]
    if bare == "#":
        return ""
    if bare.startswith("# "):
        return indent + bare[2:]
    return indent + bare[1:] if bare.startswith("##") else line
