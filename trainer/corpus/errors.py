"""What can go wrong while a corpus is built or read. Each message says what, where, and what to do."""

from __future__ import annotations

from pathlib import Path


class CorpusError(Exception):
    """A failure that the user can act on."""


class SourceUnavailable(CorpusError):
    """Sources that were asked for can't be had: a folder without Rust, an unknown package, no apt, no network."""


class TokenizerError(CorpusError):
    """A tokenizer folder is missing, damaged, or not one of ours."""


class TokenFileError(CorpusError):
    """A token file can't be used."""


class TokenFileCorrupt(TokenFileError):
    """A token file, or its manifest, isn't what was written."""


class TokenizerMismatch(TokenFileError):
    """A token file was encoded with another tokenizer than the one it is to be used with."""


class WriteFailed(CorpusError):
    """The disk refused: full, read-only, over a quota. Nothing half-written is left."""

    def __init__(self, path: Path, error: OSError) -> None:
        reason = error.strerror or str(error)
        super().__init__(f"cannot write {path}: {reason}. Free some space or choose another folder, then run it again.")
