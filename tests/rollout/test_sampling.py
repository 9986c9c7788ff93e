"""Completions are what transformers would have sampled from the same weights."""

from __future__ import annotations

import pytest
import torch

from rollout.errors import RequestRefused
from rollout.types import GenerationRequest, VersionSpan
from tests.rollout.conftest import EOS, Stage, collect, reference_greedy, reference_logprobs, requests


def test_greedy_tokens_and_logprobs_equal_transformers(stage: Stage) -> None:
    stage.push(stage.old, 1)
    wanted = requests(8, max_tokens=32, temperature=0.0)
    done = stage.run(collect(stage.pool, wanted))
    for request in wanted:
        completion = done[request.id]
        assert completion.prompt_ids == request.prompt_ids
        assert completion.token_ids == reference_greedy(stage.old, request.prompt_ids, 32)
        assert completion.versions == (VersionSpan(1, 0, len(completion.token_ids)),)
        torch.testing.assert_close(
            torch.tensor(completion.logprobs), reference_logprobs(stage.old, completion), atol=1e-4, rtol=0
        )


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_logprobs_are_of_the_distribution_sampled_from(stage: Stage, temperature: float) -> None:
    stage.push(stage.old, 1)
    for completion in stage.run(collect(stage.pool, requests(8, 64, temperature))).values():
        expected = reference_logprobs(stage.old, completion, temperature)
        torch.testing.assert_close(torch.tensor(completion.logprobs), expected, atol=1e-4, rtol=0)


def test_end_of_text_ends_a_completion_and_belongs_to_it(stage: Stage) -> None:
    stage.push(stage.old, 1)
    done = stage.run(collect(stage.pool, requests(40, max_tokens=120))).values()
    stopped = [c for c in done if c.finish_reason == "stop"]
    assert stopped, "no completion sampled the end of text: the test says nothing"
    assert all(c.token_ids[-1] == EOS and EOS not in c.token_ids[:-1] for c in stopped)
    cut = [c for c in done if c.finish_reason != "stop"]
    assert all(c.finish_reason == "length" and len(c.token_ids) == 120 and EOS not in c.token_ids for c in cut)


def test_a_seed_repeats_a_completion_in_any_company(stage: Stage) -> None:
    stage.push(stage.old, 1)
    wanted = requests(20, max_tokens=48)
    together = stage.run(collect(stage.pool, wanted))
    assert stage.run(collect(stage.pool, wanted)) == together
    alone = stage.run(collect(stage.pool, wanted[3:4]))
    assert alone["r3"] == together["r3"]


def test_completions_come_as_they_end_and_leaving_frees_the_engines(stage: Stage) -> None:
    async def first_of_two() -> str:
        wanted = [GenerationRequest("long", (5, 6, 7), 400, 0.0), GenerationRequest("short", (5, 6, 7), 4, 0.0)]
        stream = stage.pool.generate(wanted)
        async for completion in stream:
            await stream.aclose()
            return completion.id
        raise AssertionError

    stage.push(stage.old, 1)
    assert stage.run(first_of_two()) == "short"
    assert all(replica.load == 0 for replica in stage.pool._replicas)


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (GenerationRequest("a", tuple(range(500)), 20), "exceed max_model_len 512"),
        (GenerationRequest("b", (), 20), "needs a prompt"),
        (GenerationRequest("c", (1,), 0), "a token to sample"),
        (GenerationRequest("d", (1,), 4, temperature=-1.0), "temperature"),
    ],
)
def test_a_request_that_no_engine_could_serve_is_refused(stage: Stage, request_: GenerationRequest, said: str) -> None:
    with pytest.raises(RequestRefused, match=said):
        stage.run(collect(stage.pool, [request_]))
