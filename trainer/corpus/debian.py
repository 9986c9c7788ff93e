"""Crate sources from Debian packages: fetched with apt-get, unpacked into a cache. Installs nothing, needs no root.

A package is unpacked beside and renamed, so a cached folder is a whole one. Only text that a corpus reads is kept.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from trainer.corpus.atomic import atomic_folder
from trainer.corpus.errors import SourceUnavailable, WriteFailed

# The default crates are 11 MB and take seconds; a mirror that needs longer than this is as good as none.
FETCH_SECONDS = 300
CRATE_FILES = re.compile(r"\.rs$|/Cargo\.toml$")
_NO_SPACE = re.compile(r"No space left on device|enough free space|Disk quota exceeded")
_UNKNOWN = re.compile(r"(?:Unable to locate package|Can't select candidate version from package) (\S+)")


@dataclass(frozen=True, slots=True)
class Fetched:
    """Folders of unpacked packages, names that this Debian release doesn't have, and how many were cached before."""

    folders: dict[str, Path]
    unknown: tuple[str, ...]
    cached: int


def fetch_packages(packages: Sequence[str], cache: Path, *, keep: re.Pattern[str] = CRATE_FILES) -> Fetched:
    """Downloads the packages that aren't in `cache` yet and unpacks those of their files whose path matches `keep`.

    When the system's package lists are missing or stale, fresh ones are fetched into the cache; the system's stay as
    they are.

    Raises `SourceUnavailable` without apt-get or network, `WriteFailed` when the disk refuses.
    """
    wanted = list(dict.fromkeys(packages))
    cached = {name: folder for name in wanted if (folder := cache / name).is_dir()}
    missing = [name for name in wanted if name not in cached]
    if not missing:
        return Fetched(cached, (), len(cached))
    for tool in ("apt-get", "dpkg-deb"):
        if not shutil.which(tool):
            raise SourceUnavailable(
                f"{tool} is not on PATH, so Debian's crate packages can't be fetched. "
                "Name folders of crates or .rs files instead (corpus.folders, with corpus.packages = [])."
            )
    with _workplace(cache) as place:
        missing = [name for name in missing if not (cache / name).is_dir()]
        unknown = _download(missing, place, cache / ".apt")
        for deb in sorted(place.glob("*.deb")):
            with atomic_folder(cache / deb.name.split("_")[0]) as folder:
                _unpack(deb, folder, keep)
    folders = {name: folder for name in wanted if (folder := cache / name).is_dir()}
    return Fetched(folders, tuple(unknown), len(cached))


@contextmanager
def _workplace(cache: Path) -> Iterator[Path]:
    """An empty folder to download into, while no other run does; what a killed run left is cleared first."""
    place = cache / ".download"
    try:
        cache.mkdir(parents=True, exist_ok=True)
        lock = (cache / ".lock").open("w")
    except OSError as error:
        raise WriteFailed(cache, error) from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for left in (place, *cache.glob(".*.*")):
            shutil.rmtree(left, ignore_errors=True)
        try:
            place.mkdir()
        except OSError as error:
            raise WriteFailed(place, error) from error
        try:
            yield place
        finally:
            shutil.rmtree(place, ignore_errors=True)


def _download(packages: list[str], place: Path, own_lists: Path) -> list[str]:
    """Downloads what can be found into `place`; returns the names that can't."""
    unknown: list[str] = []
    options: list[str] = []
    while packages:
        done = _apt(["download", *packages], place, options)
        if done.returncode == 0:
            break
        lost = [name for name in _UNKNOWN.findall(done.stderr) if name in packages]
        if not options:
            # Either the lists don't know a package or point at a version that the mirror has dropped: fresh lists tell.
            options = _fresh_lists(own_lists, place)
        elif lost:
            unknown += lost
            packages = [name for name in packages if name not in lost]
        else:
            raise SourceUnavailable(_failure("download", packages, done.stderr))
    return unknown


def _fresh_lists(own_lists: Path, place: Path) -> list[str]:
    """Fetches package lists into a private state folder; returns the options that make apt-get use it."""
    for folder in ("lists/partial", "cache/archives/partial"):
        (own_lists / folder).mkdir(parents=True, exist_ok=True)
    options = ["-o", f"Dir::State::lists={own_lists}/lists", "-o", f"Dir::Cache={own_lists}/cache"]
    # Without this, an update that reached no mirror is a success.
    done = _apt(["update", "-o", "APT::Update::Error-Mode=any"], place, options)
    if done.returncode != 0:
        raise SourceUnavailable(_failure("update", [], done.stderr))
    return options


def _apt(arguments: list[str], place: Path, options: list[str]) -> subprocess.CompletedProcess[str]:
    # apt's own sandbox user can't write into a private cache folder; the packages are signed and only unpacked.
    command = ["apt-get", "-q", "-o", "APT::Sandbox::User=", "-o", "Acquire::Retries=2", *options, *arguments]
    environment = {**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(
            command, cwd=place, env=environment, capture_output=True, text=True, timeout=FETCH_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 124, "", f"E: no answer within {FETCH_SECONDS} s")
    if done.returncode != 0 and _NO_SPACE.search(done.stderr):
        raise WriteFailed(place.parent, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    return done


def _failure(what: str, packages: list[str], stderr: str) -> str:
    reasons = [line for line in stderr.splitlines() if line.startswith("E:")] or ["E: no reason given"]
    command = " ".join(["apt-get", what, *packages[:3]]) + (" ..." if len(packages) > 3 else "")
    return (
        f"apt-get {what} failed: {reasons[0]} Check the network and /etc/apt/sources.list with `{command}`, "
        "or name folders of crates instead (corpus.folders, with corpus.packages = [])."
    )


def _unpack(deb: Path, folder: Path, keep: re.Pattern[str]) -> None:
    """Streams the package's archive and writes only wanted files: nothing is ever linked, run or made executable."""
    with subprocess.Popen(
        ["dpkg-deb", "--fsys-tarfile", str(deb)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None
        try:
            with tarfile.open(fileobj=process.stdout, mode="r|") as archive:
                for member in archive:
                    name = member.name.removeprefix("./")
                    content = archive.extractfile(member) if member.isfile() and keep.search(name) else None
                    if content and ".." not in Path(name).parts and not name.startswith("/"):
                        target = folder / name
                        target.parent.mkdir(parents=True, exist_ok=True)
                        target.write_bytes(content.read())
        except (tarfile.TarError, EOFError) as error:
            raise SourceUnavailable(f"{deb.name} is damaged ({error}). Run it again to download it anew.") from error
        finally:
            process.kill()
