"""A pool that can't serve says why at once, and leaves nothing running."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from rollout.errors import EngineStartFailed, ModelFolderInvalid, PoolClosed, TransportUnavailable
from rollout.pool import RolloutPool
from rollout.settings import RolloutSettings
from tests.rollout.conftest import EOS, collect, engines, engines_left, requests, tiny_llama


def test_a_folder_that_is_no_model_is_named(cluster: None, runner: asyncio.Runner, tmp_path: Path) -> None:
    with pytest.raises(ModelFolderInvalid, match=r"nowhere.*lacks config.json"):
        runner.run(RolloutPool.start(tmp_path / "nowhere", RolloutSettings(), EOS))
    tiny_llama(0).save_pretrained(tmp_path)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ModelFolderInvalid, match="can't be read"):
        runner.run(RolloutPool.start(tmp_path, RolloutSettings(), EOS))


def test_a_transport_that_is_not_there_is_refused(cluster: None, runner: asyncio.Runner, tmp_path: Path) -> None:
    with pytest.raises(TransportUnavailable, match=r'needs 2 of them.*it sees \d.*Set rollout.transport = "shm"'):
        runner.run(RolloutPool.start(tmp_path, RolloutSettings(transport="nccl"), EOS))


def test_one_pool_fails_to_start_and_another_is_closed_at_work(
    cluster: None, runner: asyncio.Runner, tmp_path: Path
) -> None:
    async def scenario() -> None:
        failed, pool = await asyncio.gather(
            RolloutPool.start(tmp_path / "no_kernel", RolloutSettings(kv_cache_mb=16), EOS),
            RolloutPool.start(tmp_path / "good", RolloutSettings(kv_cache_mb=16), EOS),
            return_exceptions=True,
        )
        assert isinstance(failed, EngineStartFailed), failed
        assert str(failed).startswith(f"rollout replica 0 over {tmp_path / 'no_kernel'}: ")
        assert isinstance(pool, RolloutPool), pool
        assert engines_left(before + 1)
        work = asyncio.create_task(collect(pool, requests(8, max_tokens=400)))
        await asyncio.sleep(0.1)
        await pool.close()
        await pool.close()
        with pytest.raises(PoolClosed):
            await work
        with pytest.raises(PoolClosed):
            await pool.push({}, 1)

    tiny_llama(0, heads=8).save_pretrained(tmp_path / "no_kernel")  # head size 16: vLLM loads it, but can't run it
    tiny_llama(0).save_pretrained(tmp_path / "good")
    before = len(engines())
    runner.run(scenario())
    assert engines_left(before)


def test_naming_the_pool_imports_no_engine() -> None:
    code = """
import sys, rollout, rollout.settings
assert not {"torch", "ray", "vllm"} & sys.modules.keys(), "settings are heavy"
import rollout.pool
assert not {"vllm", "transformers"} & sys.modules.keys(), "the learner's process would carry an engine"
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
