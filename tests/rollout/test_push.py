"""A weight push changes what is sampled, exactly, and a replica that can't prove it serves nothing."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import torch

from rollout.errors import NoHealthyReplica, PushFailed, PushUnproved, RolloutError
from rollout.transport import ShmTransport
from rollout.types import Completion, GenerationRequest, PushReport
from tests.rollout.conftest import (
    Stage,
    collect,
    engines,
    reference_greedy,
    reference_logprobs,
    requests,
    weights_of,
)


def test_a_push_samples_from_the_new_model(stage: Stage) -> None:
    stage.push(stage.old, 1)
    wanted = requests(8, max_tokens=32, temperature=0.0)
    before = stage.run(collect(stage.pool, wanted))
    report: PushReport = stage.run(stage.pool.push(weights_of(stage.new), 2))
    assert (report.version, report.proved, report.stale) == (2, (0, 1), {})
    assert report.megabytes == pytest.approx(sum(t.nbytes for t in weights_of(stage.new).values()) / 1e6)
    after = stage.run(collect(stage.pool, wanted))
    for request in wanted:
        completion = after[request.id]
        assert completion.token_ids == reference_greedy(stage.new, request.prompt_ids, 32)
        assert completion.token_ids != before[request.id].token_ids
        assert completion.oldest_version == 2
        torch.testing.assert_close(
            torch.tensor(completion.logprobs), reference_logprobs(stage.new, completion), atol=1e-4, rtol=0
        )
    assert not list(Path("/dev/shm").glob(f"ferrotype-{os.getpid()}-*")), "the pushed file was left behind"


def test_a_push_removes_what_a_killed_process_left(stage: Stage) -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()
    left = Path(f"/dev/shm/ferrotype-{dead.pid}-1.safetensors")
    left.write_bytes(b"weights")
    stage.push(stage.old, 1)
    assert not left.exists()


def test_a_completion_that_straddles_a_push_says_which_tokens_came_from_which_policy(stage: Stage) -> None:
    async def push_after_the_first() -> list[Completion]:
        done, pushed = [], None
        wanted = [*requests(12, max_tokens=300), requests(1, max_tokens=16, temperature=0.0)[0]]
        async for completion in stage.pool.generate(wanted):
            pushed = pushed or asyncio.create_task(stage.pool.push(weights_of(stage.new), 2))
            done.append(completion)
        assert pushed is not None
        await pushed
        return done

    stage.push(stage.old, 1)
    done = stage.run(push_after_the_first())
    straddling = [c for c in done if [span.version for span in c.versions] == [1, 2]]
    assert straddling, "no completion was in flight during the push: the test says nothing"
    for completion in straddling:
        first, second = completion.versions
        cut = first.end
        assert (first.start, second.start, second.end) == (0, cut, len(completion.token_ids))
        assert 0 < cut < len(completion.token_ids)
        sampled = torch.tensor(completion.logprobs)
        by_old, by_new = (reference_logprobs(model, completion) for model in (stage.old, stage.new))
        torch.testing.assert_close(sampled[:cut], by_old[:cut], atol=1e-4, rtol=0)
        torch.testing.assert_close(sampled[cut:], by_new[cut:], atol=1e-4, rtol=0)


async def _misshapen(weights: dict[str, torch.Tensor]) -> None:
    weights["model.norm.weight"] = weights["model.norm.weight"][:64]


async def _missing(weights: dict[str, torch.Tensor]) -> None:
    del weights["model.layers.1.mlp.up_proj.weight"]


async def _scribbled_on(weights: dict[str, torch.Tensor]) -> None:
    """Changes one value of the file once it is complete and before an engine, which pauses first, reads it."""
    size = sum(tensor.nbytes for tensor in weights.values())
    while not any(file.stat().st_size > size for file in Path("/dev/shm").glob(f"ferrotype-{os.getpid()}-*")):
        await asyncio.sleep(0.001)
    (path,) = Path("/dev/shm").glob(f"ferrotype-{os.getpid()}-*")
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        (exponent,) = file.read(1)
        file.seek(-1, os.SEEK_END)
        file.write(bytes([exponent ^ 1]))


def test_more_tokens_in_flight_than_one_pass_takes_outlive_a_push(stage: Stage) -> None:
    """A push makes vLLM compute every prompt again; cut into parts, seeded ones would kill the engine."""
    wanted = [GenerationRequest(f"m{i}", tuple(1 + (i + k) % 90 for k in range(220)), 40, seed=i) for i in range(64)]

    async def push_midway() -> list[Completion]:
        done, pushed = [], None
        async for completion in stage.pool.generate([*wanted, *requests(1, max_tokens=4)]):
            pushed = pushed or asyncio.create_task(stage.pool.push(weights_of(stage.new), 2))
            done.append(completion)
        assert pushed is not None
        await pushed
        return done

    stage.push(stage.old, 1)
    before = {process.pid for process in engines()}
    done = stage.run(push_midway())
    assert len(done) == 65
    assert {2} <= {span.version for completion in done for span in completion.versions}
    assert {process.pid for process in engines()} == before, "an engine died and was replaced"


@pytest.mark.parametrize(
    ("spoil", "error", "said"),
    [
        (_misshapen, PushFailed, r"model.norm.weight: shape \(64,\) was sent"),
        (_missing, PushFailed, r"model.layers.1.mlp.up_proj.weight: shape None was sent"),
        (_scribbled_on, PushUnproved, "model.norm.weight differs"),
    ],
)
def test_an_unproved_push_stops_serving_until_the_next_proved_one(
    stage: Stage, spoil: Callable[[dict[str, torch.Tensor]], Awaitable[None]], error: type[RolloutError], said: str
) -> None:
    if spoil is _scribbled_on and not isinstance(stage.pool._transport, ShmTransport):
        pytest.skip("only in shared memory is there a file to write to, between the learner's end and the engines'")

    async def push_under_way() -> None:
        weights = weights_of(stage.new)
        in_flight = asyncio.create_task(collect(stage.pool, requests(12, max_tokens=400)))
        await asyncio.sleep(0.05)
        spoiling = asyncio.create_task(spoil(weights))
        await asyncio.sleep(0)
        with pytest.raises(error, match=said):
            await stage.pool.push(weights, 2)
        await spoiling
        with pytest.raises(NoHealthyReplica, match="stale"):
            await in_flight

    stage.push(stage.old, 1)
    stage.run(push_under_way())
    with pytest.raises(NoHealthyReplica):
        stage.run(collect(stage.pool, requests(1, 4)))
    stage.push(stage.new, 3)
    (completion,) = stage.run(collect(stage.pool, requests(1, 32, temperature=0.0))).values()
    assert completion.token_ids == reference_greedy(stage.new, completion.prompt_ids, 32)
    assert completion.oldest_version == 3


def test_weights_that_are_not_finite_reach_no_engine(stage: Stage) -> None:
    stage.push(stage.old, 1)
    weights = weights_of(stage.new)
    weights["model.norm.weight"] = weights["model.norm.weight"] * torch.nan
    with pytest.raises(PushFailed, match=r"model\.norm\.weight has values that are not finite"):
        stage.run(stage.pool.push(weights, 2))
    (completion,) = stage.run(collect(stage.pool, requests(1, 4))).values()
    assert completion.oldest_version == 1
