"""The weights of a checkpoint's folder, tensor by tensor, as fp32. Never holds more than one of them, changes none."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from trainer.checkpoint import read_manifest
from trainer.errors import CheckpointError
from trainer.export.packing import Weights

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
ANOTHER = "Export from another checkpoint."


class Source:
    """The open weights of a folder. Make it with `open_source`."""

    def __init__(self, directory: Path, files: list[Path], handles: dict[str, Any], sha256: str) -> None:
        self.directory = directory
        self.files = files
        """What holds the weights: one file, or an index and its shards."""
        self._handles = handles
        self.sha256 = sha256
        """Of the weights' file, equal to the manifest's if there is one; of shards, of their hashes."""
        self.parameters = 0
        """Numbers loaded so far."""

    def load(self, name: str, size: tuple[int, ...]) -> Weights:
        """One tensor of an expected size.

        Raises:
            CheckpointError: it is missing, has another size, or isn't finite.
        """
        if name not in self._handles:
            raise CheckpointError(f"{self.directory} is corrupt or of another model: it has no {name}. {ANOTHER}")
        weight: Weights = self._handles[name].get_tensor(name).float().numpy()
        if weight.shape != size or not np.isfinite(weight).all():
            fault = f"shape {weight.shape}, not {size}" if weight.shape != size else "NaN or infinite values"
            raise CheckpointError(f"{self.directory} is corrupt: {name} has {fault}. {ANOTHER}")
        self.parameters += weight.size
        return weight


@contextmanager
def open_source(directory: Path) -> Iterator[Source]:
    """Open a folder's safetensors, one file or shards, after checking them against the manifest if there is one.

    Raises:
        CheckpointError: a file is missing or is not what was written.
    """
    paths = _paths(directory)
    digests = [_checked(path) for path in paths]
    sha256 = digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()
    with ExitStack() as opened:
        try:
            handles = [opened.enter_context(safe_open(path, framework="pt")) for path in paths]
            by_name = {name: handle for handle in handles for name in handle.keys()}  # noqa: SIM118
            index = [] if len(paths) == 1 and paths[0].name == SINGLE else [directory / INDEX]
            yield Source(directory, [*paths, *index], by_name, sha256)
        except SafetensorError as error:
            raise CheckpointError(f"the weights in {directory} are corrupt: {error}. {ANOTHER}") from error


def _paths(directory: Path) -> list[Path]:
    index = directory / INDEX
    if (directory / SINGLE).exists():
        return [directory / SINGLE]
    if not index.exists():
        raise CheckpointError(f"{directory} has no {SINGLE}. Give a whole checkpoint folder.")
    try:
        return [directory / name for name in sorted(set(json.loads(index.read_text())["weight_map"].values()))]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{index} is corrupt ({error!r}). Copy it again from where it came from.") from error


def _checked(path: Path) -> str:
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise CheckpointError(f"{path} can't be read ({error.strerror}). Give a whole checkpoint folder.") from error
    manifest = read_manifest(path.parent)
    recorded = manifest.files.get(path.name, {}).get("sha256", digest) if manifest else digest
    if recorded != digest:
        raise CheckpointError(f"{path} is corrupt: it does not match its manifest. {ANOTHER}")
    return digest
