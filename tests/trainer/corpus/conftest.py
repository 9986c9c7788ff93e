"""Small real crates, and what is made of them."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from trainer.corpus.settings import CorpusSettings

# Enough different words for a vocabulary of several hundred tokens.
PARTS = ("wid", "cou", "tot", "ind", "lim", "off", "sco", "wei", "pri", "dep", "spe", "hea", "len", "bas", "max", "key")
NAMES = [first + second for first, second in itertools.permutations(PARTS, 2)]


@pytest.fixture(scope="session")
def rust() -> list[str]:
    """Some Rust to learn a tokenizer from."""
    return [functions(seed) for seed in range(8)]


def functions(seed: int, number: int = 40) -> str:
    """Rust that differs with the seed: documented functions, as in an ordinary crate."""
    rng = random.Random(seed)
    parts = []
    for place in range(number):
        name, other = rng.sample(NAMES, 2)
        factor = rng.randint(2, 999)
        parts.append(
            f"/// Combines `{name}` and `{other}` in way {seed}-{place}.\n"
            f"pub fn {name}_{other}_{seed}_{place}({name}: u64, {other}: u64) -> u64 {{\n"
            f"    let scaled = {name}.saturating_mul({factor});\n"
            f"    scaled + {other} * {seed * 1000 + place}\n}}\n"
        )
    return "\n".join(parts)


@pytest.fixture
def make_crate() -> Callable[..., Path]:
    """Writes a crate of some hundred lines below a folder."""

    def make(parent: Path, name: str, seed: int, number: int = 40) -> Path:
        crate = parent / name
        (crate / "src").mkdir(parents=True)
        (crate / "Cargo.toml").write_text(f'[package]\nname = "{name}"\nversion = "0.1.0"\n')
        (crate / "src" / "lib.rs").write_text(functions(seed, number))
        return crate

    return make


@pytest.fixture
def crates(tmp_path: Path, make_crate: Callable[..., Path]) -> Path:
    """A folder of six crates."""
    folder = tmp_path / "crates"
    for seed in range(1, 7):
        make_crate(folder, f"crate-{seed}", seed)
    return folder


@pytest.fixture
def settings(crates: Path, tmp_path: Path) -> CorpusSettings:
    """A corpus of those crates alone: no packages, no network."""
    return CorpusSettings(
        packages=(),
        folders=(crates,),
        library_examples=False,
        vocab_size=512,
        token_target=0,
        validation_share=0.2,
        cache_dir=tmp_path / "cache",
    )
