"""Token files: one flat array of ids on disk, memory-mapped, with a manifest beside it that proves what it is.

`rust_tokens.bin` holds the ids (uint16, or uint32 for large vocabularies; little endian), every document ended by
end-of-text; `rust_tokens.json` is the manifest, written last: without it, or with an older one, it isn't finished.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from trainer.corpus.atomic import atomic_file
from trainer.corpus.errors import TokenFileCorrupt, TokenFileError, TokenizerMismatch
from trainer.corpus.tokenizer import END_OF_TEXT, END_OF_TEXT_ID

SCHEMA = "ferrotype.tokens/1"
# Documents encoded at a time: enough for both cores to be busy, few enough for progress to be seen.
_BATCH = 1024
Progress = Callable[[int, int, str], None]
"""Called with what is done, of how much, and what it is."""


def no_progress(_done: int, _total: int, _what: str) -> None:
    """Says nothing."""


@dataclass(frozen=True, slots=True)
class Span:
    """Tokens `[start, end)` of the file, and the number of documents in them."""

    start: int
    end: int
    documents: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a token file says about itself. `sources` maps a crate (or another origin) to its tokens."""

    dtype: str
    tokens: int
    sha256: str
    tokenizer_sha256: str
    vocab_size: int
    splits: Mapping[str, Span]
    sources: Mapping[str, int]
    schema: str = SCHEMA


@dataclass(frozen=True)
class TokenView:
    """One split of a token file: (N,) ids in the mapping's own type. Where `bounds` don't say where documents begin and
    end, each ends with end-of-text."""

    ids: NDArray[np.unsignedinteger]
    bounds: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def document_bounds(self) -> NDArray[np.int64]:
        """(D + 1,) offsets: document d is `ids[bounds[d]:bounds[d + 1]]`, its end-of-text included."""
        if self.bounds is not None:
            return self.bounds
        return np.concatenate([[0], np.flatnonzero(self.ids == END_OF_TEXT_ID) + 1])


@dataclass(frozen=True)
class TokenFile:
    """An opened, verified token file."""

    path: Path
    manifest: Manifest
    ids: NDArray[np.unsignedinteger]

    @staticmethod
    def open(path: Path, *, tokenizer_sha256: str | None = None) -> TokenFile:
        """Maps the file and checks it against its manifest.

        Raises `TokenFileError` if it is missing or unfinished, `TokenFileCorrupt` if size, type or content differ from
        what was written, `TokenizerMismatch` if `tokenizer_sha256` is given and isn't the one it was encoded with.
        """
        manifest = _read_manifest(path)
        size = path.stat().st_size
        expected = manifest.tokens * np.dtype(manifest.dtype).itemsize
        if size != expected:
            raise TokenFileCorrupt(f"{path} has {size} bytes, not {expected}: it is cut off or altered. {_AGAIN}")
        ids = np.memmap(path, dtype=manifest.dtype, mode="r") if size else np.zeros(0, manifest.dtype)
        if hashlib.sha256(ids.data).hexdigest() != manifest.sha256:
            raise TokenFileCorrupt(f"{path} was altered after it was written (its sha256 differs). {_AGAIN}")
        if tokenizer_sha256 not in (None, manifest.tokenizer_sha256):
            raise TokenizerMismatch(
                f"{path} was encoded with tokenizer {manifest.tokenizer_sha256[:12]}, not with {tokenizer_sha256:.12}. "
                "Use the tokenizer folder beside it, or build the corpus again."
            )
        return TokenFile(path, manifest, ids)

    def split(self, name: str) -> TokenView:
        """The tokens of one split (`train`, `validation`); raises `TokenFileError` if there is no such split."""
        if name not in self.manifest.splits:
            raise TokenFileError(f"{self.path} has no split {name!r}, only {', '.join(self.manifest.splits)}.")
        span = self.manifest.splits[name]
        return TokenView(self.ids[span.start : span.end])


_AGAIN = "Delete it and build the corpus again."


def write_token_file(
    path: Path,
    splits: Mapping[str, Sequence[tuple[str, str]]],
    tokenizer: Tokenizer,
    tokenizer_sha256: str,
    *,
    special: bool = False,
    progress: Progress = no_progress,
) -> TokenFile:
    """Encodes (source, text) documents and writes `path` with its manifest, both atomically. Returns it opened.

    `special` reads `<|user|>` and its like in a text as special tokens (chat documents); else they are plain text, so
    no crate can end a document early. Raises `WriteFailed` when the disk refuses.
    """
    dtype = np.dtype("<u2" if tokenizer.get_vocab_size() <= 2**16 else "<u4")
    total, done, offset = sum(map(len, splits.values())), 0, 0
    digest = hashlib.sha256()
    spans: dict[str, Span] = {}
    sources: dict[str, int] = {}
    manifest_path = path.with_suffix(".json")
    with atomic_file(path) as file:
        for name, documents in splits.items():
            start = offset
            for batch in _batches(documents):
                rows = _encode([text for _, text in batch], tokenizer, special)
                for (source, _), row in zip(batch, rows, strict=True):
                    sources[source] = sources.get(source, 0) + len(row)
                block = np.concatenate([np.asarray(row, dtype) for row in rows])
                digest.update(block.data)
                file.write(block.data)
                offset += len(block)
                done += len(batch)
                progress(done, total, f"encoding {path.name}")
            spans[name] = Span(start, offset, len(documents))
    manifest = Manifest(
        dtype=dtype.str,
        tokens=offset,
        sha256=digest.hexdigest(),
        tokenizer_sha256=tokenizer_sha256,
        vocab_size=tokenizer.get_vocab_size(),
        splits=spans,
        sources=dict(sorted(sources.items())),
    )
    with atomic_file(manifest_path) as file:
        file.write(json.dumps(asdict(manifest), indent=2).encode())
    return TokenFile.open(path)


def _batches(documents: Sequence[tuple[str, str]]) -> Iterator[Sequence[tuple[str, str]]]:
    return (documents[start : start + _BATCH] for start in range(0, len(documents), _BATCH))


def _encode(texts: list[str], tokenizer: Tokenizer, special: bool) -> list[list[int]]:
    tokenizer.encode_special_tokens = not special
    if special:
        # The end is added here for every kind of document; a text may bring its own.
        texts = [text.removesuffix(END_OF_TEXT) for text in texts]
    try:
        return [[*row.ids, END_OF_TEXT_ID] for row in tokenizer.encode_batch_fast(texts, add_special_tokens=False)]
    finally:
        tokenizer.encode_special_tokens = False


def _read_manifest(path: Path) -> Manifest:
    manifest_path = path.with_suffix(".json")
    for wanted in (path, manifest_path):
        if not wanted.is_file():
            raise TokenFileError(f"{wanted} is missing: the corpus isn't built, or not to its end. Build it (again).")
    try:
        fields = json.loads(manifest_path.read_text(encoding="utf-8"))
        if fields["schema"] != SCHEMA:
            raise ValueError(f"schema {fields['schema']!r}, expected {SCHEMA!r}")
        fields["splits"] = {name: Span(**span) for name, span in fields["splits"].items()}
        manifest = Manifest(**fields)
        if manifest.dtype not in ("<u2", "<u4"):
            raise ValueError(f"dtype {manifest.dtype!r}")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise TokenFileCorrupt(f"{manifest_path} is not a token manifest ({error}). {_AGAIN}") from error
    return manifest
