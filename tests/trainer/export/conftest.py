"""Checkpoints for the exporter's tests: a real tokenizer, and weights trained for a few seconds."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_llama import RUST, write_checkpoint
from tokenizers import Tokenizer


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("checkpoints") / "step_2000")


@pytest.fixture(scope="session")
def prompts(checkpoint: Path) -> list[list[int]]:
    ids = Tokenizer.from_file(str(checkpoint / "tokenizer.json")).encode(RUST).ids
    return [ids[start : start + 24] for start in range(0, len(ids) - 24, 12)][:20]
