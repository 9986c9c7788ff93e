"""A worker's own folder for batches. Its lock goes with the process: who is killed leaves a folder that others remove.

Never looks inside a folder: what lies there, candidates may have written.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from pathlib import Path

_PREFIX = "ferrotype-worker-"
_LOCK = ".lock"


class Scratch:
    """A folder under `root`, held until `close` or until this process ends."""

    def __init__(self, root: Path) -> None:
        sweep(root)
        # Locked before it has its name: else another worker's sweep could take it for a dead one's.
        beside = Path(tempfile.mkdtemp(prefix=".ferrotype-", dir=root))
        self._lock = os.open(beside / _LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self.path = beside.rename(root / f"{_PREFIX}{beside.name.removeprefix('.ferrotype-')}")

    def close(self) -> None:
        """Removes the folder."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)


def sweep(root: Path) -> None:
    """Removes the folders of workers that are no more."""
    for folder in root.glob(f"{_PREFIX}*"):
        if folder.lstat().st_uid != os.getuid():
            continue
        try:
            lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:  # another sweep is at it, or its first try was cut short
            shutil.rmtree(folder, ignore_errors=True)
            continue
        except OSError:
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        except OSError:  # its worker lives
            pass
        finally:
            os.close(lock)
