"""One rollout engine that serves several checkpoints in turn: started with the first, pushed the others.

A push takes a second where a start takes tens, and is proved by version and checksum like any other. Evaluates nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from rollout.errors import PushFailed
from rollout.pool import RolloutPool
from rollout.settings import RolloutSettings
from rollout.types import Completion, GenerationRequest
from trainer.evaluation.errors import EvaluationError
from trainer.evaluation.evaluation import ModelFacts


class CheckpointEngine:
    """Starts no engine before something is to be sampled. All checkpoints must have one shape. Close it at the end."""

    def __init__(self, settings: RolloutSettings, eos_token_id: int) -> None:
        self._settings = settings
        self._eos_token_id = eos_token_id
        self._pool: RolloutPool | None = None
        self._served: Path | None = None
        self._version = 0

    async def generate(self, checkpoint_dir: Path, requests: Sequence[GenerationRequest]) -> AsyncIterator[Completion]:
        """Yield completions of this checkpoint as they end.

        Raises:
            EvaluationError: its weights can't be read, or do not fit the engine.
        """
        if self._pool is None:
            self._pool = await RolloutPool.start(checkpoint_dir, self._settings, self._eos_token_id, self._version)
        elif checkpoint_dir != self._served:
            self._version += 1
            report = await self._pool.push(checkpoint_weights(checkpoint_dir), self._version)
            if not report.proved:
                raise PushFailed(f"no replica proved that it serves {checkpoint_dir}: {report.stale}")
        self._served = checkpoint_dir
        async for completion in self._pool.generate(requests):
            yield completion

    async def close(self) -> None:
        """End the engine, if one was started."""
        if self._pool is not None:
            await self._pool.close()


def checkpoint_sha256(checkpoint_dir: Path) -> str:
    """A hash of what a completion depends on: weights, shape and tokenizer.

    Raises:
        EvaluationError: the folder is no checkpoint.
    """
    digest = hashlib.sha256()
    for path in [*_shards(checkpoint_dir), checkpoint_dir / "config.json", checkpoint_dir / "tokenizer.json"]:
        try:
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        except OSError as error:
            raise EvaluationError(f"{checkpoint_dir} is no whole checkpoint: {path.name}: {error.strerror}.") from error
    return digest.hexdigest()


def model_facts(checkpoint_dir: Path) -> ModelFacts:
    """What a result says of the checkpoint beside its hash; `checkpoint_sha256` comes first, and tells bad folders."""
    tokenizer = hashlib.sha256((checkpoint_dir / "tokenizer.json").read_bytes()).hexdigest()
    return ModelFacts(tokenizer_sha256=tokenizer, bytes=sum(path.stat().st_size for path in _shards(checkpoint_dir)))


def checkpoint_weights(checkpoint_dir: Path) -> dict[str, torch.Tensor]:
    """The weights of a checkpoint's folder by their Hugging Face names, fp32.

    Raises:
        EvaluationError: they are missing or broken.
    """
    try:
        return {k: v.float() for path in _shards(checkpoint_dir) for k, v in load_file(path).items()}
    except (OSError, SafetensorError) as error:
        raise EvaluationError(f"the weights in {checkpoint_dir} can't be read: {error}.") from error


def _shards(checkpoint_dir: Path) -> list[Path]:
    if shards := sorted(checkpoint_dir.glob("*.safetensors")):
        return shards
    raise EvaluationError(
        f"{checkpoint_dir} is no checkpoint: it has no *.safetensors. Give a folder such as step_400."
    )
