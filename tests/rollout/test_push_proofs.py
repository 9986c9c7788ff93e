"""After every push sampler and learner are one policy; whatever breaks that is noticed before a prompt is served.

The faults are put into vLLM's own process, by a function that is sent there: nothing of the engine is imitated.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from transformers import LlamaForCausalLM

from rollout.errors import CanaryFailed, NoHealthyReplica, PushUnproved
from rollout.types import Completion, GenerationRequest, PushReport
from tests.rollout.conftest import PLAIN_LLAMA, Stage, collect, requests, tiny_llama, weights_of
from trainer.adapter import Adapter, adapter_parts, add_adapter
from trainer.grpo.forward import canary_of, packed_logprobs, to_tensors
from trainer.grpo.packing import Packable, fill, plan
from trainer.model import is_ternary, make_ternary, materialised_weights

AGREEMENT = 1e-4
"""Mean absolute difference, nats a token, in fp32."""


def learner_gap(model: LlamaForCausalLM, completions: list[Completion]) -> float:
    """Mean absolute difference of the sampler's log-probabilities to those of the learner's packed forward pass."""
    prompts = sorted({completion.prompt_ids for completion in completions})
    texts = [completion.prompt_ids + completion.token_ids for completion in completions]
    tokens_B_T = np.zeros((len(texts), max(map(len, texts))), np.int64)
    for row, text in zip(tokens_B_T, texts, strict=True):
        row[: len(text)] = text
    packables = [
        Packable(index, prompts.index(completion.prompt_ids), len(completion.prompt_ids), len(text))
        for index, (completion, text) in enumerate(zip(completions, texts, strict=True))
    ]
    gaps = []
    for batch in plan(packables, 512):
        rows = to_tensors(fill(batch, tokens_B_T), "cpu", shared=True)
        with torch.no_grad():
            logprobs_N = packed_logprobs(model, rows, 1.0, PLAIN_LLAMA)
        sampled = [logprob for index in rows.indices_S.tolist() for logprob in completions[index].logprobs]
        gaps.append((logprobs_N - torch.tensor(sampled)).abs())
    return torch.cat(gaps).mean().item()


def trained(model: LlamaForCausalLM) -> LlamaForCausalLM:
    """A copy of the model after an optimizer step that moved every tensor."""
    model = copy.deepcopy(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    tokens = torch.arange(1, 60)[None]
    model(tokens, labels=tokens).loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return model


def adapted(model: LlamaForCausalLM) -> LlamaForCausalLM:
    """A copy of the model under a low-rank adapter that is far from nothing."""
    model = copy.deepcopy(model)
    add_adapter(model, Adapter(rank=4, alpha=8.0))
    for part in adapter_parts(model).values():
        torch.nn.init.normal_(part, std=0.2)
    return model


def test_sampler_and_learner_agree_before_and_after_every_push(stage: Stage) -> None:
    ternary = make_ternary(tiny_llama(7))
    assert is_ternary(ternary)
    assert stage.old.config.tie_word_embeddings
    wanted = [*requests(8, max_tokens=24), GenerationRequest("greedy", tuple(range(1, 20)), 24, temperature=0.0)]
    stage.push(stage.old, 1)
    model, version = stage.old, 1
    for following in (stage.new, trained(stage.new), ternary, trained(ternary), adapted(stage.new), stage.old):
        before = list(stage.run(collect(stage.pool, wanted)).values())
        assert learner_gap(model, before) < AGREEMENT
        apart = learner_gap(following, before)
        assert apart > 100 * AGREEMENT, "the two policies are alike: the test says nothing"
        version += 1
        canary = canary_of(following, PLAIN_LLAMA)
        report: PushReport = stage.run(stage.pool.push(materialised_weights(following), version, canary))
        assert report.proved == (0, 1)
        after = list(stage.run(collect(stage.pool, wanted)).values())
        assert {completion.oldest_version for completion in after} == {version}
        assert learner_gap(following, after) < AGREEMENT
        model = following


def without_the_tied_head(worker: Any) -> None:
    """The transport as it would be without its fix: the reload that vLLM itself does, and no more."""
    from vllm.model_executor.model_loader.reload import finalize_layerwise_reload

    from rollout.weight_transfer import ShmWeightTransferEngine

    def finish(self: Any) -> None:
        finalize_layerwise_reload(self.model, self.model_config)

    ShmWeightTransferEngine.right = ShmWeightTransferEngine.finish_weight_update
    ShmWeightTransferEngine.finish_weight_update = finish


def with_the_tied_head(worker: Any) -> None:
    from rollout.weight_transfer import ShmWeightTransferEngine

    ShmWeightTransferEngine.finish_weight_update = ShmWeightTransferEngine.right


def one_tensor_withheld(worker: Any) -> None:
    """The file is whole, and one of its tensors never reaches the model."""
    model = worker.model_runner.model
    load = model.load_weights
    model.load_weights = lambda weights: load(
        (name, tensor) for name, tensor in weights if name != "model.layers.1.mlp.down_proj.weight"
    )


def every_tensor_loaded(worker: Any) -> None:
    del worker.model_runner.model.load_weights


def answered_but_not_applied(worker: Any) -> None:
    """Every phase says that all went well, and the version is the new one."""
    from rollout.weight_transfer import ShmWeightTransferEngine

    ShmWeightTransferEngine.rightly = (
        ShmWeightTransferEngine.receive_weights,
        ShmWeightTransferEngine.finish_weight_update,
    )
    ShmWeightTransferEngine.receive_weights = lambda self, info: None
    ShmWeightTransferEngine.finish_weight_update = lambda self: None


def applied(worker: Any) -> None:
    from rollout.weight_transfer import ShmWeightTransferEngine

    ShmWeightTransferEngine.receive_weights, ShmWeightTransferEngine.finish_weight_update = (
        ShmWeightTransferEngine.rightly
    )


def other_arithmetic(worker: Any) -> None:
    """The weights are right to the bit, and one layer normalises otherwise: no checksum sees it."""
    worker.model_runner.model.model.layers[0].input_layernorm.variance_epsilon = 0.5


def right_arithmetic(worker: Any) -> None:
    worker.model_runner.model.model.layers[0].input_layernorm.variance_epsilon = 1e-6


FAULTS = [
    (without_the_tied_head, with_the_tied_head, PushUnproved, r"lm_head\.weight differs"),
    (one_tensor_withheld, every_tensor_loaded, PushUnproved, r"model\.layers\.1\.mlp\.down_proj\.weight differs"),
    (answered_but_not_applied, applied, PushUnproved, r"lm_head\.weight differs, model\.embed_tokens\.weight differs"),
    (other_arithmetic, right_arithmetic, CanaryFailed, "log-probabilities of the canary prompt are"),
]


@pytest.fixture
def broken(stage: Stage, request: pytest.FixtureRequest) -> Iterator[None]:
    breaks, mends = request.param
    stage.push(stage.old, 1)
    for replica in (0, 1):
        stage.inside(replica, breaks)
    yield
    for replica in (0, 1):
        stage.inside(replica, mends)
    stage.push(stage.old, 1)


@pytest.mark.parametrize(
    ("broken", "error", "said"),
    [(fault[:2], *fault[2:]) for fault in FAULTS],
    ids=[fault[0].__name__ for fault in FAULTS],
    indirect=["broken"],
)
def test_a_push_that_went_wrong_unnoticed_makes_every_replica_stale(
    stage: Stage, broken: Callable[[Any], None], error: type[PushUnproved], said: str
) -> None:
    canary = canary_of(stage.new, PLAIN_LLAMA)
    with pytest.raises(error, match=said):
        stage.run(stage.pool.push(weights_of(stage.new), 2, canary))
    assert all(state.startswith("stale") for state in stage.pool.health.values())
    with pytest.raises(NoHealthyReplica, match=said):
        stage.run(collect(stage.pool, requests(2, 4)))


def test_one_replica_that_went_wrong_serves_nothing_and_the_other_everything(stage: Stage) -> None:
    stage.push(stage.old, 1)
    stage.inside(1, answered_but_not_applied)
    try:
        canary = canary_of(stage.new, PLAIN_LLAMA)
        report: PushReport = stage.run(stage.pool.push(weights_of(stage.new), 2, canary))
        assert report.proved == (0,)
        assert "differs" in report.stale[1]
        done = list(stage.run(collect(stage.pool, requests(40, max_tokens=8))).values())
        assert len(done) == 40
        assert learner_gap(stage.new, done) < AGREEMENT
    finally:
        stage.inside(1, applied)
    stage.push(stage.new, 3)


def test_the_canary_leaves_what_is_in_flight_as_it_was(stage: Stage) -> None:
    """Its steps come between those of half-sampled completions, which must not notice."""

    def sampled(push: bool) -> dict[str, Completion]:
        async def midway() -> dict[str, Completion]:
            done = {}
            async for completion in stage.pool.generate([*requests(10, max_tokens=200), first]):
                if push and completion.id == first.id:
                    canary = canary_of(stage.old, PLAIN_LLAMA)
                    await stage.pool.push(weights_of(stage.old), 2, canary)
                done[completion.id] = completion
            return done

        return stage.run(midway())

    first = GenerationRequest("first", (5, 6, 7), 3, seed=1)
    stage.push(stage.old, 1)
    undisturbed, pushed = sampled(push=False), sampled(push=True)
    assert any(len(completion.versions) == 2 for completion in pushed.values()), "nothing was in flight"
    for id_, completion in undisturbed.items():
        assert pushed[id_].token_ids == completion.token_ids
