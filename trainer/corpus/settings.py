"""Settings of the corpus stage. Imports no torch, vllm, ray, transformers or tokenizers."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, model_validator

# What the guide names, then crates of ordinary, readable Rust (no generated tables, no FFI): together over 4.2M tokens.
_DEFAULT_CRATES = """
tokio serde clap serde-json hyper regex regex-syntax rand itertools bytes http hashbrown indexmap futures-util
futures-channel chrono syn quote proc-macro2 anyhow thiserror tracing tracing-core tracing-subscriber tokio-util tower
log env-logger crossbeam-channel crossbeam-epoch crossbeam-deque crossbeam-utils rayon rayon-core petgraph nom
num-bigint num-rational num-traits num-integer time url toml semver uuid smallvec arrayvec either once-cell parking-lot
textwrap strsim walkdir ignore globset csv csv-core bstr aho-corasick clap-derive serde-derive h2 structopt tera similar
heck fixedbitset tinyvec lru slab humantime indicatif ron pest combine euclid approx quickcheck
"""
DEFAULT_PACKAGES = tuple(f"librust-{name}-dev" for name in _DEFAULT_CRATES.split())


class CorpusSettings(BaseModel):
    """Where Rust comes from and how it becomes tokens."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    packages: tuple[str, ...] = DEFAULT_PACKAGES
    """Debian packages of crate sources (`librust-*-dev`), fetched with apt-get into the cache; needs no root."""
    folders: tuple[Path, ...] = ()
    """Folders of crates, or `.rs` files, of your own, read besides the packages."""
    library_examples: bool = True
    """Take the standard library's documentation examples (and Rust by Example): small programs that compile alone."""
    vocab_size: int = Field(default=2048, ge=512, le=65536)
    """Tokens of the tokenizer, special ones included. A small model spends most of its weights on a large one."""
    document_bytes: int = Field(default=768, ge=0)
    """Files are cut at item boundaries into documents of about this many bytes, so that one fits a small model's window
    (768 bytes are about 270 tokens). 0 keeps each file whole, for a model with a window of 2048 tokens or more."""
    token_target: int = Field(default=4_200_000, ge=0)
    """Fewer tokens than this are reported as a shortfall; the guide trains on 4.2M."""
    validation_share: float = Field(default=0.02, ge=0, lt=0.5)
    """Share of the bytes held out, by whole crates."""
    tokenizer_sample_mb: float = Field(default=4.0, gt=0)
    """The tokenizer learns from a sample of this size: beyond a few MB its merges hardly change, only its time does."""
    extra_share: float = Field(default=0.4, ge=0, le=1)
    """Share of that sample given to the extra documents (solved tasks), so that tasks take few tokens to write."""
    max_source_mb: float = Field(default=256.0, gt=0)
    """Reading stops here, and the report says so: text is held in memory, about 4 bytes for each byte read."""
    fim_share: float = Field(default=0.0, ge=0, le=0.9)
    """Share of documents (of crates, and solved tasks but for chats) that supervised training reads as prefix, suffix
    and middle, so that the model learns to fill gaps. With 0 the tokenizer has no markers and nobody offers it."""
    fim_spm_share: float = Field(default=0.0, ge=0, le=1)
    """Share of those that show the suffix first (llama.cpp's --spm-infill). `ferrotype serve` asks prefix first."""
    cache_dir: Path | None = None
    """Fetched crates stay here for the next run. Default: `$XDG_CACHE_HOME/ferrotype/crates`."""
    seed: int = 0
    """Order of the documents in the token file."""

    @model_validator(mode="after")
    def _an_order_needs_gaps(self) -> CorpusSettings:
        if self.fim_spm_share and not self.fim_share:
            raise ValueError("fim_spm_share orders documents of fim_share, and that is 0: set corpus.fim_share above 0")
        return self

    @property
    def cache(self) -> Path:
        """The cache folder, with its default filled in."""
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        return self.cache_dir or base / "ferrotype" / "crates"
