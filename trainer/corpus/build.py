"""The corpus stage, wired: sources, documents, duplicates, tokenizer, token files. The one file that knows them all."""

from __future__ import annotations

import json
import random
import re
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from trainer.corpus.atomic import atomic_file
from trainer.corpus.debian import fetch_packages
from trainer.corpus.document import Document, documents_of, examples_of
from trainer.corpus.duplicates import DuplicateFilter
from trainer.corpus.errors import SourceUnavailable
from trainer.corpus.settings import DEFAULT_PACKAGES, CorpusSettings
from trainer.corpus.sources import Skipped, SourceFile, read_sources, require_rust
from trainer.corpus.split import validation_crates
from trainer.corpus.token_file import Progress, no_progress, write_token_file
from trainer.corpus.tokenizer import tokenizer_sha256, train_tokenizer, training_sample

# Debian's package of the compiler's own sources; only these parts hold examples that compile alone.
LIBRARY_PACKAGE = "rust-src"
_LIBRARY_FILES = re.compile(
    r"/library/(?:core|alloc|std)/(?:src/.*\.rs|Cargo\.toml)$|/src/doc/(?:rust-by-example|reference)/src/.*\.md$"
)


@dataclass(frozen=True, slots=True)
class CorpusReport:
    """What was built. Paths, counts, and the seconds that each part took. `notes` are what the user should know."""

    tokens_path: Path
    extra_tokens_path: Path | None
    tokenizer_dir: Path
    files: int
    files_skipped: dict[str, int]
    documents: dict[str, int]
    duplicates_exact: int
    duplicates_near: int
    bytes: int
    train_tokens: int
    validation_tokens: int
    extra_tokens: int
    validation_crates: tuple[str, ...]
    tokens_by_crate: dict[str, int]
    seconds: dict[str, float]
    notes: tuple[str, ...] = field(default=())

    @property
    def tokens(self) -> int:
        """Tokens of the crates, both splits."""
        return self.train_tokens + self.validation_tokens


def build_corpus(
    settings: CorpusSettings,
    out_dir: Path,
    *,
    extra_documents: Sequence[str] = (),
    progress: Progress = no_progress,
) -> CorpusReport:
    """Builds `out_dir/{tokenizer/, rust_tokens.bin, corpus.json}`, with `extra_documents` also `task_tokens.bin`.

    `extra_documents` (solved training tasks, chats) may hold special tokens; they shape the tokenizer by
    `settings.extra_share`. Each file appears whole or not at all; `corpus.json`, the report, comes last.

    Raises `SourceUnavailable`, `TokenizerError` or `WriteFailed`, each with what to do.
    """
    seconds: dict[str, float] = {}
    skipped, duplicates = Skipped(), DuplicateFilter()
    notes: list[str] = []

    with _timed(seconds, "fetch"):
        progress(0, 1, "fetching crates")
        package_folders = _fetch(settings, notes)
        library = _library(settings, notes)
        progress(1, 1, "fetching crates")
    with _timed(seconds, "documents"):
        files = _read(settings, package_folders, skipped)
        library_files = _read_library(library)
        documents = _documents(settings, files, library_files, duplicates, progress)
    if not documents:
        raise SourceUnavailable(
            "the sources hold no usable Rust: no packages, no folders and no library examples were found. "
            "Set corpus.packages or corpus.folders."
        )
    held_out = validation_crates(_bytes_by_crate(documents), settings.validation_share)
    random.Random(settings.seed).shuffle(documents)

    tokenizer_dir = out_dir / "tokenizer"
    with _timed(seconds, "tokenizer"):
        progress(0, 1, "training the tokenizer")
        sample = training_sample(
            [document.text for document in documents if document.crate not in held_out],
            extra_documents,
            int(settings.tokenizer_sample_mb * 1e6),
            settings.extra_share,
            settings.seed,
        )
        tokenizer = train_tokenizer(sample, settings.vocab_size, tokenizer_dir, fim=settings.fim_share > 0)
        fingerprint = tokenizer_sha256(tokenizer_dir)
        progress(1, 1, "training the tokenizer")
    with _timed(seconds, "encode"):
        splits: dict[str, list[tuple[str, str]]] = {"train": [], "validation": []}
        for document in documents:
            splits["validation" if document.crate in held_out else "train"].append((document.crate, document.text))
        tokens_path = out_dir / "rust_tokens.bin"
        written = write_token_file(tokens_path, splits, tokenizer, fingerprint, progress=progress)
        extra_path, extra_tokens = None, 0
        if extra_documents:
            extra_path = out_dir / "task_tokens.bin"
            extra_splits = {"train": [("tasks", text) for text in extra_documents]}
            extra = write_token_file(extra_path, extra_splits, tokenizer, fingerprint, special=True, progress=progress)
            extra_tokens = extra.manifest.tokens

    train, validation = (len(written.split(name)) for name in ("train", "validation"))
    if train + validation < settings.token_target:
        notes.append(
            f"{train + validation:,} tokens are fewer than the target of {settings.token_target:,}: add crates"
        )
    if not validation and settings.validation_share:
        notes.append("nothing is held out: a split by crate needs at least two crates")
    report = CorpusReport(
        tokens_path=tokens_path,
        extra_tokens_path=extra_path,
        tokenizer_dir=tokenizer_dir,
        files=len(files) + len(library_files),
        files_skipped=dict(skipped.counts),
        documents=dict(Counter(document.kind for document in documents)),
        duplicates_exact=duplicates.exact,
        duplicates_near=duplicates.near,
        bytes=sum(len(document.text.encode()) for document in documents),
        train_tokens=train,
        validation_tokens=validation,
        extra_tokens=extra_tokens,
        validation_crates=tuple(sorted(held_out)),
        tokens_by_crate=dict(written.manifest.sources),
        seconds=seconds,
        notes=tuple(notes),
    )
    with atomic_file(out_dir / "corpus.json") as file:
        file.write(json.dumps(asdict(report), indent=2, default=str).encode())
    return report


def _fetch(settings: CorpusSettings, notes: list[str]) -> list[Path]:
    fetched = fetch_packages(settings.packages, settings.cache)
    # Another Debian release has other crates: of ours some may be missing, of the user's none.
    mistaken = sorted(set(fetched.unknown) - set(DEFAULT_PACKAGES))
    if mistaken:
        raise SourceUnavailable(
            f"this Debian release has no package {', '.join(mistaken)}. See `apt-cache search --names-only librust`, "
            "and correct corpus.packages."
        )
    if settings.packages and not fetched.folders:
        raise SourceUnavailable(
            "apt-get knows none of the crate packages (librust-*-dev). Check /etc/apt/sources.list, "
            "or name folders of crates instead (corpus.folders, with corpus.packages = [])."
        )
    if fetched.unknown:
        notes.append(f"not in this Debian release, left out: {', '.join(sorted(fetched.unknown))}")
    return [fetched.folders[name] for name in sorted(fetched.folders)]


def _library(settings: CorpusSettings, notes: list[str]) -> list[Path]:
    """Folders of the standard library's sources: rustup's, if that component is there, else Debian's package."""
    if not settings.library_examples:
        return []
    installed = _sysroot() / "lib/rustlib/src/rust/library"
    if installed.is_dir():
        return [installed / name for name in ("core", "alloc", "std")]
    try:
        fetched = fetch_packages([LIBRARY_PACKAGE], settings.cache, keep=_LIBRARY_FILES)
    except SourceUnavailable as error:
        notes.append(f"no library examples: {error}")
        return []
    return list(fetched.folders.values())


def _sysroot() -> Path:
    try:
        asked = subprocess.run(["rustc", "--print", "sysroot"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return Path("/nowhere")
    return Path(asked.stdout.strip() or "/nowhere")


def _read(settings: CorpusSettings, package_folders: Sequence[Path], skipped: Skipped) -> list[SourceFile]:
    limit = settings.max_source_mb * 1e6
    files: list[SourceFile] = []
    for folder in settings.folders:
        own_skipped = Skipped()
        own = read_sources([folder], own_skipped, max_bytes=limit)
        require_rust(folder, own, own_skipped)
        skipped.counts.update(own_skipped.counts)
        files += own
        limit -= sum(len(file.text) for file in own)
    return files + read_sources(package_folders, skipped, max_bytes=limit)


def _read_library(folders: Sequence[Path]) -> list[SourceFile]:
    """Most of the library's files have no examples: what is skipped there isn't worth a line in the report."""
    return [file for suffix in (".rs", ".md") for file in read_sources(folders, Skipped(), suffix=suffix)]


def _documents(
    settings: CorpusSettings,
    files: Sequence[SourceFile],
    library_files: Sequence[SourceFile],
    duplicates: DuplicateFilter,
    progress: Progress,
) -> list[Document]:
    documents: list[Document] = []
    total = len(files) + len(library_files)
    for done, file in enumerate([*files, *library_files], start=1):
        found = documents_of(file, settings.document_bytes) if done <= len(files) else examples_of(file)
        documents += [document for document in found if duplicates.is_new(document.text)]
        if done % 100 == 0 or done == total:
            progress(done, total, "reading files")
    return documents


def _bytes_by_crate(documents: Sequence[Document]) -> dict[str, int]:
    sizes: Counter[str] = Counter()
    for document in documents:
        sizes[document.crate] += len(document.text)
    return dict(sizes)


@contextmanager
def _timed(seconds: dict[str, float], part: str) -> Iterator[None]:
    start = time.monotonic()
    yield
    seconds[part] = round(time.monotonic() - start, 2)
