"""Finds the real rustc, and builds the trusted test harness with it once. Never sees a candidate."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from reward_farm.errors import RustcMissing
from reward_farm.settings import FarmSettings

JAIL_SYSROOT = "/rust"
_REMEDY = "install Rust from https://rustup.rs (or set `rustc` in the farm's settings to the compiler's path)"
_STATIC = ("rf_launch", "rf_canary")
OLDEST = (1, 85)
"""`#[unsafe(no_mangle)]` is 1.82; a rust-lld fit to be called directly is a little newer."""


@dataclass(frozen=True, slots=True)
class Toolchain:
    """One rustc: where it is, and every host file that it and what it links need."""

    rustc: Path
    sysroot: Path
    version: str
    """As `rustc -V` prints it."""
    host: str
    """Target triple."""
    libraries: tuple[Path, ...]
    """The C library's files, outside the sysroot, that rustc, rust-lld and libstd load."""
    harness: Path
    """Folder with `rf_launch`, `rf_server`, `rf_canary`, `librf_wire.rlib` and `link/`."""

    @property
    def std_dir(self) -> Path:
        """Folder of libstd."""
        return self.sysroot / "lib" / "rustlib" / self.host / "lib"


def find_toolchain(settings: FarmSettings) -> Toolchain:
    """The toolchain of these settings, its harness built. Takes 0.1 s, and 1 s the first time.

    Raises RustcMissing.
    """
    rustc = _find_rustc(settings.rustc)
    report = _output([str(rustc), "-vV"])
    version, host = report.splitlines()[0], _field(report, "host")
    release = tuple(int(part) for part in re.findall(r"\d+", _field(report, "release"))[:2])
    if release < OLDEST:
        raise RustcMissing(f"{rustc} is {version}; {OLDEST[0]}.{OLDEST[1]} or newer is needed. `rustup update stable`")
    sysroot = Path(_output([str(rustc), "--print", "sysroot"]).strip())
    std_dir = sysroot / "lib" / "rustlib" / host / "lib"
    linker = std_dir.parent / "bin" / "rust-lld"
    if not linker.is_file():
        raise RustcMissing(f"{sysroot} has no rust-lld ({linker}). To fix it: {_REMEDY}")
    if settings.clippy and not (sysroot / "bin" / "clippy-driver").is_file():
        raise RustcMissing(f"{sysroot} has no clippy-driver. To fix it: `rustup component add clippy`")
    libraries = _libraries([sysroot / "bin" / "rustc", linker, *std_dir.glob("libstd-*.so")], sysroot)
    harness = _build_harness(settings.cache_dir.expanduser(), rustc, report, libraries)
    return Toolchain(rustc, sysroot, version, host, libraries, harness)


def _find_rustc(configured: str | None) -> Path:
    if configured is not None:
        if not os.access(configured, os.X_OK):
            raise RustcMissing(f"the configured rustc {configured} is not an executable file. To fix it: {_REMEDY}")
        return Path(configured)
    rustup = shutil.which("rustup")
    if rustup:
        answer = subprocess.run([rustup, "which", "rustc"], capture_output=True, text=True)
        if answer.returncode == 0:
            return Path(answer.stdout.strip())
    found = shutil.which("rustc")
    if found is None or Path(found).resolve().name == "rustup":
        raise RustcMissing(f"no rustc was found by `rustup which rustc` or in PATH. To fix it: {_REMEDY}")
    return Path(found)


def _output(command: list[str]) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    except (OSError, subprocess.SubprocessError) as error:
        detail = (getattr(error, "stderr", None) or str(error)).strip()
        raise RustcMissing(f"`{' '.join(command)}` failed: {detail[-500:]}. To fix it: {_REMEDY}") from error


def _field(report: str, name: str) -> str:
    return next(line.split(": ", 1)[1] for line in report.splitlines() if line.startswith(f"{name}: "))


def _libraries(binaries: list[Path], sysroot: Path) -> tuple[Path, ...]:
    """Absolute paths in `ldd`'s answer that lie outside the sysroot."""
    paths = {Path(path) for path in re.findall(r"(/\S+) \(0x", _output(["ldd", *map(str, binaries)]))}
    return tuple(sorted(path for path in paths if not path.resolve().is_relative_to(sysroot.resolve())))


def _build_harness(cache: Path, rustc: Path, report: str, libraries: tuple[Path, ...]) -> Path:
    """Compiles `harness/*.rs` into a folder named by all that it depends on; a second process may do the same."""
    sources = {
        name: resources.files("reward_farm").joinpath(f"harness/{name}.rs").read_bytes()
        for name in ("rf_server", "rf_wire", *_STATIC)
    }
    digest = hashlib.blake2b(repr((report, libraries, sources)).encode(), digest_size=12).hexdigest()
    built = cache / f"harness-{digest}"
    if built.is_dir():
        return built
    cache.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=".harness-", dir=cache))
    try:
        for name, source in sources.items():
            (folder / f"{name}.rs").write_bytes(source)
        common = [str(rustc), "--edition", "2021", "-C", "prefer-dynamic", "--out-dir", str(folder)]
        _output([*common, "--crate-type", "rlib", str(folder / "rf_wire.rs")])
        _output([*common, "-C", "opt-level=1", str(folder / "rf_server.rs")])
        for name in _STATIC:
            _build_static(rustc, folder, name)
        _link_folder(folder / "link", libraries)
        folder.chmod(0o755)
        try:
            folder.rename(built)
        except OSError:  # another worker was first
            if not built.is_dir():
                raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return built


def _build_static(rustc: Path, folder: Path, name: str) -> None:
    """Starts in half the time without a loader; a machine that has no static C library does with one."""
    command = [str(rustc), "--edition", "2021", "-C", "opt-level=1", "-C", "panic=abort", "--out-dir", str(folder)]
    try:
        _output([*command, "-C", "target-feature=+crt-static", "-C", "relocation-model=static", f"{folder}/{name}.rs"])
    except RustcMissing:
        _output([*command, f"{folder}/{name}.rs"])


def _link_folder(folder: Path, libraries: tuple[Path, ...]) -> None:
    """What `-lc` and its kin find in the jail: the run-time libraries, or nothing where glibc merged them into libc.

    The C compiler and the -dev packages thus stay outside the jail.
    """
    folder.mkdir()
    by_stem = {path.name.split(".so")[0]: path for path in libraries}
    for name in ("libgcc_s", "libutil", "librt", "libpthread", "libm", "libdl", "libc"):
        if name in by_stem:
            (folder / f"{name}.so").symlink_to(by_stem[name])
        else:
            (folder / f"{name}.so").write_text("/* part of libc */\n")
