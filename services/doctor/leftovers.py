"""What dead runs have left on the machine: processes without a parent, files without an owner."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import psutil

from reward_farm.scratch import abandoned
from services.doctor.check import Check, Health

OURS = ("services.worker", "VLLM::EngineCore", "ray::RolloutActor", "ray::RustcWorker", "ray::Serve")
"""In the command lines of processes that a run or a server starts, and that end with it if all is well. Supervisors
are not among them: one that was started in the background has no parent either."""
SCRATCH = Path("/dev/shm")
STOP_SECONDS = 10.0


def processes() -> Check:
    """Ours, whose supervisor is gone."""
    orphans = list(_orphans())
    if not orphans:
        return Check("processes", Health.OK, "no orphans")
    found = f"{len(orphans)} without a parent: " + ", ".join(f"{p.pid} ({_title(p)[:60]})" for p in orphans[:5])
    remedy = "`ferrotype doctor --fix` ends them; look at `ps -fp PID` first if you are not sure."
    return Check("processes", Health.NOTE, found, remedy, fix=lambda: _end(orphans))


def files() -> Check:
    """In shared memory, of processes that are no more."""
    dead = list(_dead_files())
    if not dead:
        return Check("files", Health.OK, f"none left in {SCRATCH}")
    size = sum(_size(path) for path in dead) >> 20
    found = f"{len(dead)} of dead processes in {SCRATCH}, {size} MB"
    return Check("files", Health.NOTE, found, "`ferrotype doctor --fix` removes them.", fix=lambda: _remove(dead))


def _orphans() -> Iterator[psutil.Process]:
    if any(word in _title(psutil.Process(1)) for word in ("services", "ferrotype", "ray")):
        return  # in a container the supervisor itself may be process 1
    for process in psutil.process_iter():
        try:
            mine = process.uids().real == os.getuid() and process.ppid() == 1
            if mine and process.status() != psutil.STATUS_ZOMBIE and any(part in _title(process) for part in OURS):
                yield process
        except psutil.Error:
            continue


def _title(process: psutil.Process) -> str:
    return " ".join(process.cmdline())


def _end(orphans: list[psutil.Process]) -> str:
    for process in orphans:
        if process.is_running():
            process.terminate()
    _, alive = psutil.wait_procs(orphans, timeout=STOP_SECONDS)
    for process in alive:
        process.kill()
    return f"ended {len(orphans)} processes, {len(alive)} of them by force"


def _dead_files() -> Iterator[Path]:
    for path in SCRATCH.glob("ferrotype-*-*.safetensors"):
        if (pid := path.name.split("-")[1]).isdigit() and not psutil.pid_exists(int(pid)):
            yield path
    yield from abandoned(SCRATCH)


def _size(path: Path) -> int:
    return sum(part.lstat().st_size for part in (path, *path.rglob("*")) if not part.is_dir())


def _remove(dead: list[Path]) -> str:
    for path in dead:
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
    return f"removed {len(dead)} files and folders"
