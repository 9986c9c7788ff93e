"""Finds Rust (and its Markdown) in folders and says which crate each file belongs to. Reads; never writes or cuts."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from trainer.corpus.errors import SourceUnavailable

# Larger sources are tables and bindings made by programs.
MAX_FILE_BYTES = 400_000
# No one writes such lines by hand.
MAX_LINE_BYTES = 2_000
_GENERATED = re.compile(rb"@generated|(?i:automatically generated|auto-generated|do not edit)")
# A marker counts only near the top: further down, code may be talking about generated code.
_MARKER_BYTES = 1_000
_PACKAGE_NAME = re.compile(r'^\s*\[package\](?:.*\n)*?\s*name\s*=\s*"([^"]+)"', re.MULTILINE)
_SKIPPED_FOLDERS = {"target", "node_modules"}


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file's text, and the crate (its Cargo.toml's name, else the folder's) that it belongs to."""

    crate: str
    path: Path
    text: str


@dataclass(slots=True)
class Skipped:
    """Files passed over, by reason."""

    counts: Counter[str] = field(default_factory=Counter)


def read_sources(
    folders: Sequence[Path], skipped: Skipped, *, suffix: str = ".rs", max_bytes: float = float("inf")
) -> list[SourceFile]:
    """All usable files below `folders`, in an order that depends on their names alone.

    Raises `SourceUnavailable` if a folder isn't there. Unusable files are counted in `skipped`.
    """
    files: list[SourceFile] = []
    total = 0
    for folder in folders:
        if not folder.exists():
            raise SourceUnavailable(f"{folder} does not exist. Name an existing folder of crates or .rs files.")
        for crate, path in _walk(folder, suffix):
            text = _read(path, skipped)
            if text is None:
                continue
            if total + len(text) > max_bytes:
                skipped.counts["over the size limit"] += 1
                continue
            total += len(text)
            files.append(SourceFile(crate, path, text))
    return files


def require_rust(folder: Path, files: Sequence[SourceFile], skipped: Skipped) -> None:
    """Raises `SourceUnavailable` when a folder that the user named gave nothing."""
    if files:
        return
    reasons = ", ".join(f"{count} {reason}" for reason, count in skipped.counts.items())
    found = f"only files that can't be used ({reasons})" if reasons else "no .rs file"
    raise SourceUnavailable(
        f"{folder} holds {found}. Name a folder with Rust sources, such as a crate's `src` or a checkout of one."
    )


def _walk(root: Path, suffix: str) -> Iterator[tuple[str, Path]]:
    if root.is_file():
        if root.suffix == suffix:
            yield root.resolve().parent.name, root
        return
    crates: dict[Path, str] = {}
    for name, subfolders, names in os.walk(root):
        folder = Path(name)
        subfolders[:] = sorted(sub for sub in subfolders if not sub.startswith(".") and sub not in _SKIPPED_FOLDERS)
        crate = crates[folder] = _package_name(folder / "Cargo.toml") or crates.get(folder.parent, root.resolve().name)
        for name in sorted(names):
            path = folder / name
            if name.endswith(suffix) and path.is_file() and not path.is_symlink():
                yield crate, path


def _package_name(manifest: Path) -> str | None:
    try:
        found = _PACKAGE_NAME.search(manifest.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        return None
    return found[1] if found else None


def _read(path: Path, skipped: Skipped) -> str | None:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            skipped.counts["too large"] += 1
            return None
        raw = path.read_bytes()
    except OSError:
        skipped.counts["unreadable"] += 1
        return None
    if _GENERATED.search(raw, 0, _MARKER_BYTES) or max(map(len, raw.split(b"\n")), default=0) > MAX_LINE_BYTES:
        skipped.counts["generated"] += 1
        return None
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        skipped.counts["not UTF-8"] += 1
        return None
    if not text.strip():
        skipped.counts["empty"] += 1
        return None
    return text.replace("\r\n", "\n")
