"""What an exported file says of its model beside its weights: licence, origin, how it was trained.

Read from the checkpoint: the manifest that training wrote, and the model card of a model from elsewhere. Nothing that
changes from one export to the next (times, paths) is among it, so that the same checkpoint gives the same file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from trainer.checkpoint import read_manifest

CARD = "README.md"
PROGRESS = ("tokens", "policy_version")
"""Of what a manifest has for resuming, what says how much was trained. Its `identity` are the method's settings."""
Fact: TypeAlias = str | int | float | bool


@dataclass(frozen=True, slots=True)
class Facts:
    """What is told of a model."""

    licence: str | None = None
    """SPDX identifier in lower case, as Hugging Face writes it, such as apache-2.0."""
    base_model: str | None = None
    training: Mapping[str, Fact] = field(default_factory=dict)
    """How it was trained, key by key; `ferrotype.training.<key>` in a GGUF file."""


def read_facts(checkpoint_dir: Path, licence: str | None = None, more: Mapping[str, Fact] | None = None) -> Facts:
    """The facts of a checkpoint; `licence` goes before what its card says, `more` is added to how it was trained.

    Raises:
        CheckpointError: the manifest is corrupt.
    """
    card = _front_matter(checkpoint_dir / CARD)
    base = card.get("base_model")
    manifest = read_manifest(checkpoint_dir)
    training: dict[str, Fact] = {}
    if manifest is not None:
        training |= {"kind": manifest.kind, "step": manifest.step, "ternary": manifest.ternary}
        training |= {key: manifest.progress[key] for key in PROGRESS if key in manifest.progress}
        training |= _plain(manifest.progress.get("identity") or {})
    return Facts(
        licence=licence or _text(card.get("license")),
        base_model=_text(base[0] if isinstance(base, list) and base else base),
        training=dict(sorted((training | dict(more or {})).items())),
    )


def _plain(fields: Mapping[str, Any]) -> dict[str, Fact]:
    return {key: value for key, value in fields.items() if isinstance(value, (str, int, float, bool))}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _front_matter(path: Path) -> dict[str, Any]:
    """The YAML at the top of a card; a card without it, or with a slip in it, says nothing."""
    if not path.is_file():
        return {}
    parts = path.read_text(errors="replace").split("---\n", 2)
    try:
        fields = yaml.safe_load(parts[1]) if len(parts) == 3 and not parts[0].strip() else None
    except yaml.YAMLError:
        return {}
    return fields if isinstance(fields, dict) else {}
