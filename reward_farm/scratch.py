"""A judge's own folder for batches. Its lock goes with the process: who is killed leaves a folder that others remove.

Never looks inside a folder: what lies there, candidates may have written.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from reward_farm.settings import FarmSettings

_PREFIX = "ferrotype-judge-"
_LOCK = ".lock"


def scratch_root(settings: FarmSettings) -> Path:
    """Where judges of these settings have their folders."""
    if settings.scratch_dir is not None:
        return settings.scratch_dir
    return Path("/dev/shm") if os.access("/dev/shm", os.W_OK) else Path(tempfile.gettempdir())


class Scratch:
    """A folder under `root`, held until `close` or until this process ends."""

    def __init__(self, root: Path) -> None:
        sweep(root)
        self.path = root / f"{_PREFIX}{secrets.token_hex(6)}"
        self._lock = -1
        self.hold()

    def hold(self) -> None:
        """Makes the folder if it is not there, or no longer. Raises OSError."""
        if self._lock >= 0 and self.path.is_dir():
            return
        # Locked before it has its name: else another judge's sweep could take it for a dead one's.
        beside = Path(tempfile.mkdtemp(prefix=".ferrotype-", dir=self.path.parent))
        lock = os.open(beside / _LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        beside.rename(self.path)
        if self._lock >= 0:
            os.close(self._lock)
        self._lock = lock

    def close(self) -> None:
        """Removes the folder. Does nothing when done again."""
        if self._lock >= 0:
            shutil.rmtree(self.path, ignore_errors=True)
            os.close(self._lock)
            self._lock = -1


def sweep(root: Path) -> None:
    """Removes the folders of judges that are no more."""
    for folder in abandoned(root):
        shutil.rmtree(folder, ignore_errors=True)


def abandoned(root: Path) -> Iterator[Path]:
    """This user's folders of judges that are no more; each is held until the next is asked for."""
    for folder in root.glob(f"{_PREFIX}*"):
        try:
            if folder.lstat().st_uid != os.getuid():
                continue
            lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:  # another sweep is at it, or its first try was cut short
            yield folder
            continue
        except OSError:
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield folder
        except OSError:  # its judge lives
            pass
        finally:
            os.close(lock)
