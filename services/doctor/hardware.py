"""Checks of the machine: processor, memory, disk, ports, GPU, and what the kernel allows."""

from __future__ import annotations

import os
import resource
import shutil
import socket
import subprocess
from pathlib import Path

import psutil

from services.config import RunConfig
from services.doctor.check import Check, Health

NEEDED_MEMORY_GB = 6.0
"""The embedded preset's peak is below it; with less free memory the kernel ends a phase half-way."""
NEEDED_DISK_GB = 3.0
"""The guide's estimate for all checkpoints of a run."""
NEEDED_FILES = 4096
"""Ray holds a few for each of its processes, a farm's worker some dozens."""
SHARED_MEMORY = Path("/dev/shm")
SPARE_SHARED_MB = 512
"""For weights on their way to the engines, and batches that are compiled."""


def processor() -> Check:
    """Cores, and what they do."""
    return Check("processor", Health.OK, f"{len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[0]:.1f}")


def memory() -> Check:
    """What is free."""
    state = psutil.virtual_memory()
    free = state.available / 2**30
    found = f"{free:.1f} of {state.total / 2**30:.1f} GiB free"
    if free < NEEDED_MEMORY_GB:
        return Check("memory", Health.NOTE, found, f"The embedded preset wants {NEEDED_MEMORY_GB:.0f} GiB.")
    return Check("memory", Health.OK, found)


def shared_memory(config: RunConfig) -> Check:
    """Room for Ray's objects and for weights; containers have 64 MB of it by default."""
    if not SHARED_MEMORY.is_dir():
        return Check("shared memory", Health.MISSING, f"no {SHARED_MEMORY}", "Mount a tmpfs there.")
    free = shutil.disk_usage(SHARED_MEMORY).free >> 20
    needed = config.cluster.object_store_mb + SPARE_SHARED_MB
    if free < needed:
        remedy = f"Give the container more: --shm-size={needed}m, or an emptyDir of medium Memory at {SHARED_MEMORY}."
        return Check("shared memory", Health.MISSING, f"{free} MB free of {needed} that are needed", remedy)
    return Check("shared memory", Health.OK, f"{free} MB free in {SHARED_MEMORY}")


def disk(folder: Path) -> Check:
    """Room where the run's folder is, or will be."""
    there = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists())
    free = shutil.disk_usage(there).free / 2**30
    found = f"{free:.1f} GiB free for {folder}"
    if free < NEEDED_DISK_GB:
        remedy = f"A run needs {NEEDED_DISK_GB:.0f} GiB: free some, or use --run-dir."
        return Check("disk", Health.MISSING, found, remedy)
    return Check("disk", Health.OK, found)


def open_files() -> Check:
    """How many a process may hold; ours raise the soft limit by themselves as far as the hard one lets them."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = "unlimited" if hard == resource.RLIM_INFINITY else str(hard)
    if hard != resource.RLIM_INFINITY and hard < NEEDED_FILES:
        remedy = f"Raise it: `ulimit -Hn {NEEDED_FILES}` as root, LimitNOFILE= in a systemd unit, or limits.conf."
        return Check("open files", Health.NOTE, f"at most {limit}", remedy)
    return Check("open files", Health.OK, f"at most {limit}")


def ports(config: RunConfig) -> Check:
    """Those that the configuration names."""
    port = config.cluster.metrics_port
    if not port:
        return Check("ports", Health.OK, "none is fixed")
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", port)):
            return Check("ports", Health.OK, f"{port} is free for metrics")
    return Check(
        "ports",
        Health.MISSING,
        f"{port} is in use",
        "Set cluster.metrics_port to another, or to 0 for any that is free.",
    )


def gpu(config: RunConfig) -> Check:
    """NVIDIA GPUs and their driver."""
    names = gpu_names()
    wanted = {
        "pretrain.device": config.pretrain.device.startswith("cuda"),
        "grpo.gpus_per_learner": config.grpo.gpus_per_learner > 0,
        "rollout.gpus_per_replica": config.rollout.gpus_per_replica > 0,
    }
    if not names and any(wanted.values()):
        keys = ", ".join(key for key, is_wanted in wanted.items() if is_wanted)
        found = f"none, and this configuration uses one ({keys})"
        return Check("gpu", Health.MISSING, found, f"Take --preset embedded.{_driver_remedy()}")
    return Check("gpu", Health.OK if names else Health.NOTE, "; ".join(names) or "none: training runs on the CPU")


def gpu_names() -> list[str]:
    """NVIDIA GPUs by name, memory and driver; none where there is no driver."""
    if shutil.which("nvidia-smi") is None:
        return []
    command = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    return [line.strip() for line in done.stdout.splitlines() if line.strip()] if done.returncode == 0 else []


def _driver_remedy() -> str:
    """For a machine that has the card, and not what makes it work."""
    if not any(Path("/dev").glob("nvidia[0-9]*")):
        return ""
    return " /dev has an NVIDIA card, and nvidia-smi doesn't answer: install the driver, or reboot after its update."
