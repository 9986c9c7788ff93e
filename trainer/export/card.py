"""A model card: what was exported, how it was trained, what was measured, how to run it. Text only; writes no file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import yaml

from trainer.export.facts import Facts


@dataclass(frozen=True, slots=True)
class CardTable:
    """A table of figures under its own heading."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""


def model_card(name: str, what: str, facts: Facts, usage: str, tables: Sequence[CardTable] = ()) -> str:
    """Markdown with the front matter that Hugging Face reads.

    Args:
        name: the model's.
        what: the artefact in a sentence or two.
        usage: a command or a few lines of code that run it.
    """
    front: dict[str, object] = {
        "license": facts.licence or "unknown", "library_name": "ferrotype", "pipeline_tag": "text-generation",
        "tags": ["rust", "code", "llama"], "language": ["en"],
    }  # fmt: skip
    if facts.base_model is not None:
        front["base_model"] = facts.base_model
    licence = facts.licence or "not stated. Whoever passes the model on states it (`--licence`)"
    parts = [
        f"---\n{yaml.safe_dump(front, sort_keys=False)}---",
        f"# {name}",
        what,
        f"Licence: {licence}.",
        f"## Use\n\n```\n{usage}\n```",
        *(_table(table) for table in tables),
    ]
    if facts.training:
        rows = [(key.replace("_", " "), str(value)) for key, value in facts.training.items()]
        parts.append(_table(CardTable("Training", ("", ""), rows)))
    parts.append(
        "## Limits\n\nThe model writes Rust functions. What it writes may be wrong, may not compile, and must be "
        "reviewed and run in a sandbox before it is trusted."
    )
    return "\n\n".join(parts) + "\n"


def _table(table: CardTable) -> str:
    lines = [f"| {' | '.join(row)} |" for row in (table.head, ["---"] * len(table.head), *table.rows)]
    note = f"\n\n{table.note}" if table.note else ""
    return f"## {table.title}\n\n" + "\n".join(lines) + note
