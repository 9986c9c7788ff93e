"""A copy of a run's folder on storage that outlives the machine: s3://, gs://, or file:// on a shared disk.

    run folder ──publish──► URL/…            every file under its own name; a checkpoint's manifest and state/ come last
    (empty)    ◄──fetch──── URL/…            a checkpoint without its manifest is not there

Each file is put whole or not at all, in the order in which a run writes: so what the storage holds at any instant is a
run that was killed then, and a run goes on from that anyway. Whoever publishes signs URL/owner.json first and looks at
it each time: of two runs on one URL the older one stops before it overwrites the newer one's files. What a run deletes
(old checkpoints) is deleted there, manifest first. Knows no cloud: that is `pyarrow.fs`.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from pyarrow import ArrowException, fs

from services.errors import StorageError, TakenOver
from services.run_folder import write_text

OWNER = "owner.json"
MANIFEST = "manifest.json"
CHUNK_BYTES = 8 << 20

Stamp = tuple[int, int]
"""A file's size and time of change: what tells that it has to be sent again."""


class Storage:
    """The copy of the run folder `root` at `url`. Holds the folder's lock: only one at a time for one folder.

    Raises:
        StorageError: from every method, if the storage doesn't answer, refuses, or is another run's by now.
    """

    def __init__(self, url: str, root: Path) -> None:
        self._root = root
        self._url = url.partition("?")[0]
        """For people: what comes after it is settings."""
        self._signature = root / ".owner.json"
        self._sent: dict[str, Stamp] = {}
        with self._reached():
            self._store, self._base = fs.FileSystem.from_uri(url)

    def take(self) -> bool:
        """Fetch the run if `root` holds none, and sign for it; True if files were fetched.

        Raises:
            StorageError: `root` is a run that has since gone on elsewhere.
        """
        owner = self._owner()
        fetched = False
        if owner is not None and not (self._root / "config.toml").exists():
            self._fetch()
            fetched = True
        elif owner is not None and owner != self._signed():
            raise StorageError(
                f"the run at {self._url} has gone on elsewhere since {self._root} was its folder. Take an empty "
                "--run-dir, and it is fetched; or another --storage, and this folder becomes a run of its own."
            )
        elif owner is not None:
            self._compare()
        mine = secrets.token_hex(8)
        self._put(OWNER, json.dumps({"owner": mine}).encode())
        write_text(self._signature, json.dumps({"owner": mine}))
        return fetched

    def publish(self) -> int:
        """Send what changed since the last time; the number of files sent."""
        if self._owner() != self._signed():
            raise TakenOver(f"another run has taken over {self._url}: this one stops before it overwrites its files.")
        # What says that a phase is done is looked for first: what it made is older, so the second look finds it.
        here = self._files("state") | self._files(".")
        gone = [name for name in self._sent if name not in here]
        count = 0
        with self._reached():
            for name in sorted(gone, key=_deletion_order):
                self._store.delete_file(f"{self._base}/{name}")
                del self._sent[name]
            for name in sorted(here, key=_order):
                count += self._send(name, here[name])
        return count

    def _files(self, folder: str) -> dict[str, Path]:
        paths = ((path.relative_to(self._root), path) for path in (self._root / folder).rglob("*") if path.is_file())
        if folder == ".":
            paths = ((name, path) for name, path in paths if name.parts[0] != "state")
        return {name.as_posix(): path for name, path in paths if _lasting(name)}

    def _compare(self) -> None:
        """Checkpoints that are there already need not be sent again; what is gone here goes there."""
        for name, size in self._stored().items():
            path = self._root / name
            status = path.stat() if path.is_file() else None
            same = status is not None and _checkpoint(name) is not None and status.st_size == size
            self._sent[name] = (status.st_size, status.st_mtime_ns) if same and status else (-1, -1)

    def _stored(self) -> dict[str, int]:
        """Files of the run there, and their sizes."""
        with self._reached():
            infos = self._store.get_file_info(fs.FileSelector(self._base, recursive=True))
        names = {i.path.removeprefix(self._base).lstrip("/"): i.size for i in infos if i.type == fs.FileType.File}
        return {name: size for name, size in names.items() if name != OWNER and not name.endswith(".partial")}

    def _send(self, name: str, path: Path) -> int:
        try:
            status = path.stat()
            stamp = (status.st_size, status.st_mtime_ns)
            if self._sent.get(name) == stamp:
                return 0
            # A file that grows meanwhile is sent as it was: the rest comes the next time.
            with path.open("rb") as source:
                self._put(name, source=source, left=status.st_size)
        except FileNotFoundError:
            return 0
        self._sent[name] = stamp
        return 1

    def _put(self, name: str, content: bytes = b"", source: BinaryIO | None = None, left: int = 0) -> None:
        """One file, whole or not at all: object stores do so by themselves, a file system by renaming."""
        target = f"{self._base}/{name}"
        local = isinstance(self._store, fs.LocalFileSystem)
        place = f"{target}.partial" if local else target
        with self._reached():
            if local:
                self._store.create_dir(target.rpartition("/")[0], recursive=True)
            with self._store.open_output_stream(place) as stream:
                if source is None:
                    stream.write(content)
                while source is not None and left > 0 and (piece := source.read(min(left, CHUNK_BYTES))):
                    stream.write(piece)
                    left -= len(piece)
            if local:
                self._store.move(place, target)

    def _fetch(self) -> None:
        names = self._stored()
        # Of a checkpoint that was just being sent the manifest is missing: a run's restart begins before it.
        torn = {folder for name in names if (folder := _checkpoint(name)) and f"{folder}/{MANIFEST}" not in names}
        for name in sorted(names, key=_order):
            if _checkpoint(name) in torn:
                continue
            path = self._root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_name(f".{path.name}.partial")
            with (
                self._reached(),
                self._store.open_input_stream(f"{self._base}/{name}") as stream,
                partial.open("wb") as file,
            ):
                while piece := stream.read(CHUNK_BYTES):
                    file.write(piece)
            partial.replace(path)
            status = path.stat()
            self._sent[name] = (status.st_size, status.st_mtime_ns)

    def _owner(self) -> str | None:
        with self._reached():
            if self._store.get_file_info(f"{self._base}/{OWNER}").type == fs.FileType.NotFound:
                return None
            with self._store.open_input_stream(f"{self._base}/{OWNER}") as stream:
                return str(json.loads(stream.read())["owner"])

    def _signed(self) -> str | None:
        try:
            return str(json.loads(self._signature.read_text())["owner"])
        except FileNotFoundError:
            return None

    @contextmanager
    def _reached(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ArrowException, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise StorageError(
                f"the storage {self._url} can't be used: {reason}. Give s3://bucket/folder (keys in AWS_ACCESS_KEY_ID "
                "and AWS_SECRET_ACCESS_KEY, ?endpoint_override=HOST:PORT for another S3), gs:// or file:///folder."
            ) from error


def _lasting(name: Path) -> bool:
    """Not a file in the making, a lock, or what tells this machine's folder from others."""
    return not any(part.startswith(".") for part in name.parts) and name.name != "run.lock"


def _checkpoint(name: str) -> str | None:
    """The checkpoint folder that a file lies in: checkpoints/KIND/STEP."""
    parts = name.split("/")
    return "/".join(parts[:3]) if parts[0] == "checkpoints" and len(parts) > 3 else None


def _order(name: str) -> tuple[int, str]:
    """Data, then checkpoints with each one's manifest after the rest, then what says that phases are done."""
    parts = name.split("/")
    if parts[0] == "state":
        return (3, name)
    if parts[0] == "checkpoints":
        return (2 if parts[-1] == MANIFEST else 1, name)
    return (0, name)


def _deletion_order(name: str) -> tuple[int, str]:
    return (-_order(name)[0], name)
