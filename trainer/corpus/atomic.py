"""Files and folders that appear whole or not at all: written beside, fsynced, renamed. Never reads them."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from trainer.corpus.errors import WriteFailed


@contextmanager
def atomic_file(path: Path) -> Iterator[IO[bytes]]:
    """A binary file that takes the name `path` when the block ends well, and leaves no trace when it doesn't.

    Raises `WriteFailed` when the disk refuses.
    """
    # Always the same name: what a killed run left is overwritten, not added to.
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise WriteFailed(path, error) from error
    finally:
        with suppress(OSError):
            part.unlink()


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """A folder to fill, which takes the name `path` (replacing an older one) when the block ends well.

    Raises `WriteFailed` when the disk refuses.
    """
    part: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
        yield part
        part.chmod(0o755)
        if path.exists():
            # A folder can't be renamed over a filled one: the old one steps aside into the new one's old place.
            retired = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
            path.rename(retired / path.name)
            part.rename(path)
            shutil.rmtree(retired)
        else:
            part.rename(path)
        sync_folder(path.parent)
    except OSError as error:
        raise WriteFailed(path, error) from error
    finally:
        if part is not None and part.exists():
            shutil.rmtree(part, ignore_errors=True)


def sync_folder(path: Path) -> None:
    """Makes renames inside `path` survive a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
