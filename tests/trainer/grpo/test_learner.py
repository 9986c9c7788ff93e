"""The learner on a real model: a step is one exact gradient however it is cut up, also when memory runs out."""

from __future__ import annotations

import copy
import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from grpo_builders import make_completion, make_group, make_policy, make_task, verdict_of
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.policy.sample_batch import MultiAgentBatch, SampleBatch
from ray.rllib.utils.metrics.metrics_logger import MetricsLogger

from trainer.checkpoint import load_checkpoint
from trainer.grpo.algorithm import LEARNER_FIGURES, GRPOConfig
from trainer.grpo.batch import Row, rows_of, to_columns
from trainer.grpo.errors import LearnerOutOfMemory
from trainer.grpo.group import Group, Sample
from trainer.grpo.learner import ITERATION, GRPOLearner, learning_rate
from trainer.grpo.module import CausalLMModule
from trainer.grpo.settings import GrpoSettings
from trainer.model import materialised_weights
from trainer.settings import ModelShape

GROUPS = [
    make_group(0, [0.0, 12.0, 6.0, None], [9, 3, 14, 5]),
    make_group(1, [1.0, 2.0, 25.0, 2.0], [20, 1, 7, 11], prompt=9),
]


def build(policy_dir: Path, settings: GrpoSettings) -> GRPOLearner:
    config = GRPOConfig().training(grpo=settings, policy_dir=policy_dir)
    learner = GRPOLearner(config=config, module_spec=config.get_multi_rl_module_spec())
    learner.build()
    return learner


def update(learner: GRPOLearner, groups=GROUPS, iteration: int = 0, rows: list[Row] | None = None) -> dict[str, float]:
    rows = rows_of(groups, learner.config.grpo) if rows is None else rows
    columns = SampleBatch(to_columns(rows, learner.config.grpo))
    batch = MultiAgentBatch({DEFAULT_MODULE_ID: columns}, env_steps=len(columns))
    figures = MetricsLogger.peek_results(learner.update(batch=batch, timesteps={ITERATION: iteration}))
    return {
        name: float(figures[DEFAULT_MODULE_ID][name]) for name in LEARNER_FIGURES if name in figures[DEFAULT_MODULE_ID]
    }


def test_micro_batches_and_padding_change_no_gradient(policy_dir):
    whole, pieces, single = (
        build(policy_dir, GrpoSettings(token_budget=budget, max_completion_tokens=64, weight_decay=0.1))
        for budget in (4096, 64, 64)
    )
    single._token_budget = 1
    single.config.grpo.__dict__["shared_prompts"] = False
    figures = [update(learner) for learner in (whole, pieces, single)]
    assert [f["micro_batches"] for f in figures] == [1, 2, 6]
    for other in figures[1:]:
        for name in ("loss", "grad_norm", "entropy", "logprob_gap_mean", "clip_fraction"):
            assert other[name] == pytest.approx(figures[0][name], rel=1e-4, abs=1e-6), name
    moments = [
        torch.cat([state["exp_avg"].flatten() for state in learner._optimizer.state.values()])
        for learner in (whole, pieces, single)
    ]
    for other in moments[1:]:
        torch.testing.assert_close(other, moments[0], rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("learners", [2, 3, 5])
def test_the_average_of_the_learners_gradients_is_the_gradient_of_one(policy_dir, learners):
    """Groups are cut between learners, and one learner may have nothing but filling."""
    learner = build(policy_dir, GrpoSettings(max_completion_tokens=64))

    def gradient(columns) -> torch.Tensor:
        learner._accumulate({name: torch.from_numpy(column) for name, column in columns.items()})
        parts = [p.grad for p in learner._policy_module.policy.parameters()]
        return torch.cat([part.flatten() for part in parts if part is not None]) if parts[0] is not None else 0.0

    rows = rows_of(GROUPS, learner.config.grpo)
    whole = gradient(to_columns(rows, learner.config.grpo))
    columns = to_columns(rows, learner.config.grpo.model_copy(update={"learners": learners}))
    shards = [{name: np.split(column, learners)[i] for name, column in columns.items()} for i in range(learners)]
    torch.testing.assert_close(sum(map(gradient, shards)) / learners, whole, rtol=1e-3, atol=1e-6)


def test_repeated_siblings_change_no_gradient(policy_dir):
    samples = GROUPS[1].samples
    again = [replace(samples[i].completion, id=f"again-{i}") for i in (0, 2, 2)]
    verdicts = [samples[i].verdict for i in (0, 2, 2)]
    twins = tuple(Sample(done, "", verdict) for done, verdict in zip(again, verdicts, strict=True))
    groups = [GROUPS[0], replace(GROUPS[1], samples=samples + twins)]
    settings = GrpoSettings(max_completion_tokens=64)
    merged, apart = build(policy_dir, settings), build(policy_dir, settings)
    rows = rows_of(groups, settings)
    assert sorted(row.count for row in rows) == [1, 1, 1, 1, 2, 3]
    one_by_one = [replace(row, count=1) for row in rows for _ in range(row.count)]
    figures = [update(merged, rows=rows), update(apart, rows=one_by_one)]
    for name in ("loss", "grad_norm", "entropy", "logprob_gap_mean", "clip_fraction", "trained_tokens"):
        assert figures[0][name] == pytest.approx(figures[1][name], rel=1e-4, abs=1e-6), name


def test_with_ratio_one_the_gradient_is_reinforce(policy_dir):
    """Sampler log-probabilities from transformers' own forward pass, one completion at a time and without padding."""
    settings = GrpoSettings(grad_clip=1e9, max_completion_tokens=64)
    model = load_checkpoint(policy_dir).model
    samples, loss = [], torch.zeros(())
    rewards, tokens = [3.0, 20.0, 11.0], [[5, 9, 7], [30, 31, 32, 33, 0], [99]]
    advantages = (np.array(rewards) - np.mean(rewards)) / (np.std(rewards) + 1e-4)
    for place, (reward, ids) in enumerate(zip(rewards, tokens, strict=True)):
        sequence = torch.tensor([[11, 12, 13, *ids]])
        logits = model(input_ids=sequence).logits[0, 2:-1]
        logprobs = logits.log_softmax(-1).gather(-1, sequence[0, 3:, None])[:, 0]
        loss = loss - advantages[place] * logprobs.sum() / 9
        done = make_completion(str(place), [11, 12, 13], ids, logprobs.tolist())
        samples.append(Sample(done, "", verdict_of(str(place), reward)))
    loss.backward()
    learner = build(policy_dir, settings)
    figures = update(learner, [Group(0, make_task(0), tuple(samples))])
    assert figures["logprob_gap_max"] < 1e-5
    assert figures["ratio_p01"] == pytest.approx(1, abs=1e-5)
    expected = torch.cat([p.grad.flatten() for p in model.parameters()])
    got = torch.cat(
        [learner._optimizer.state[p]["exp_avg"].flatten() for p in learner._policy_module.policy.parameters()]
    )
    torch.testing.assert_close(got / 0.1, expected, rtol=1e-3, atol=1e-6)
    assert figures["grad_norm"] == pytest.approx(expected.norm().item(), rel=1e-4)


def test_repeated_steps_make_better_completions_likelier(policy_dir):
    settings = GrpoSettings(learning_rate=3e-3, warmup_iterations=0, loss="cispo", max_completion_tokens=64)
    learner = build(policy_dir, settings)
    before = total_logprob(learner, GROUPS[1], best=2)
    for iteration in range(5):
        update(learner, iteration=iteration)
    assert total_logprob(learner, GROUPS[1], best=2) > before + 1


def total_logprob(learner: GRPOLearner, group: Group, best: int) -> float:
    done = group.samples[best].completion
    ids = torch.tensor([done.prompt_ids + done.token_ids])
    with torch.no_grad():
        logits = learner._policy_module.policy(input_ids=ids).logits[0, len(done.prompt_ids) - 1 : -1]
    return logits.log_softmax(-1).gather(-1, torch.tensor(done.token_ids)[:, None]).sum().item()


def test_out_of_memory_halves_the_budget_once_and_redoes_the_step(policy_dir, monkeypatch, tmp_path):
    settings = GrpoSettings(token_budget=4096, max_completion_tokens=64)
    calm, pressed = build(policy_dir, settings), build(policy_dir, settings)
    limit_memory(monkeypatch, pressed, tokens=80)
    expected, figures = update(calm), update(pressed)
    assert figures["micro_batches"] > 1
    assert figures["token_budget"] < 100
    assert figures["loss"] == pytest.approx(expected["loss"], rel=1e-4)
    assert figures["grad_norm"] == pytest.approx(expected["grad_norm"], rel=1e-4)
    assert update(pressed, iteration=1)["token_budget"] == figures["token_budget"], "it remembers"
    saved = pressed.save_policy(tmp_path / "rl-iter-2", policy_dir, step=2, progress={})
    assert build(saved, settings)._token_budget == figures["token_budget"], "and so does a resumed run"
    roomier = settings.model_copy(update={"token_budget": 8192})
    assert build(saved, roomier)._token_budget == 8192, "unless it is asked for another size"


def test_a_row_that_does_not_fit_is_an_error_for_the_user(policy_dir, monkeypatch):
    learner = build(policy_dir, GrpoSettings(max_completion_tokens=64))
    limit_memory(monkeypatch, learner, tokens=20)
    with pytest.raises(LearnerOutOfMemory, match=r"one completion of 29 tokens .*max_completion_tokens"):
        update(learner)


def limit_memory(monkeypatch: pytest.MonkeyPatch, learner: GRPOLearner, tokens: int) -> None:
    """The forward pass raises what torch raises when a micro-batch holds more than `tokens`."""
    forward = CausalLMModule._scores

    def limited(self, model, rows, **kwargs):
        if self is learner._policy_module and rows.tokens_R_W.numel() > tokens:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(self, model, rows, **kwargs)

    monkeypatch.setattr(CausalLMModule, "_scores", limited)


def test_a_gradient_that_is_not_finite_is_not_applied(policy_dir):
    learner = build(policy_dir, GrpoSettings(max_completion_tokens=64))
    before = {name: w.clone() for name, w in learner.policy_weights().items()}
    groups = copy.deepcopy(GROUPS)
    with torch.no_grad():
        next(learner._policy_module.policy.parameters())[2:] += float("inf")
    figures = update(learner, groups)
    assert figures["skipped_updates"] == 1.0
    after = learner.policy_weights()
    assert all(torch.equal(before[name], after[name]) for name in before if "embed" not in name)


def test_kl_needs_a_reference_and_pulls_towards_it(policy_dir):
    settings = GrpoSettings(kl_coefficient=10.0, learning_rate=1e-3, warmup_iterations=0, max_completion_tokens=64)
    learner = build(policy_dir, settings)
    (reference,) = learner._policy_module._reference
    free = build(policy_dir, settings.model_copy(update={"kl_coefficient": 0.0}))
    for iteration in range(6):
        update(learner, iteration=iteration)
        update(free, iteration=iteration)
    start = materialised_weights(reference)
    moved = [
        sum((w - start[name]).norm().item() for name, w in other.policy_weights().items()) for other in (learner, free)
    ]
    assert torch.equal(
        start["model.embed_tokens.weight"], load_checkpoint(policy_dir).model.get_input_embeddings().weight
    )
    assert moved[0] < 0.9 * moved[1]


def test_a_ternary_policy_learns_latent_weights_and_pushes_ternary_ones(tokenizer_dir, tmp_path):
    shape = ModelShape(hidden_size=256, layers=1, heads=2, kv_heads=1, ffn_size=256, max_positions=128)
    learner = build(make_policy(tmp_path / "ternary", tokenizer_dir, shape), GrpoSettings(max_completion_tokens=64))
    latent = learner._policy_module.policy.model.layers[0].mlp.up_proj.weight.detach().clone()
    update(learner)
    assert not torch.equal(latent, learner._policy_module.policy.model.layers[0].mlp.up_proj.weight)
    assert len(learner.policy_weights()["model.layers.0.mlp.up_proj.weight"].unique()) == 3


def test_a_saved_policy_goes_on_exactly(policy_dir, tmp_path):
    settings = GrpoSettings(max_completion_tokens=64)
    straight = build(policy_dir, settings)
    update(straight)
    saved = straight.save_policy(tmp_path / "rl-iter-1", policy_dir, step=1, progress={"policy_version": 1})
    update(straight, iteration=1)
    resumed = build(saved, settings)
    update(resumed, iteration=1)
    ours, theirs = straight.policy_weights(), resumed.policy_weights()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_learning_rate_rises_then_falls_and_ends_where_it_was_told():
    settings = GrpoSettings(iterations=11, learning_rate=1.0, warmup_iterations=1, learning_rate_end=0.1)
    rates = [learning_rate(settings, i) for i in range(11)]
    assert rates[0] == 0.5
    assert rates[1] == pytest.approx(0.91)
    assert rates[-1] == pytest.approx(0.1)
    assert all(a > b for a, b in itertools.pairwise(rates[1:]))
