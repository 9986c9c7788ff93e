"""Low-rank adapters: only they learn, and everybody else sees an ordinary model."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from grpo_builders import make_group, make_policy
from peft import PeftModel
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.policy.sample_batch import MultiAgentBatch, SampleBatch
from ray.rllib.utils.metrics.metrics_logger import MetricsLogger
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel

from trainer.adapter import Adapter, adapter_parts, add_adapter
from trainer.checkpoint import load_checkpoint
from trainer.errors import AdapterError
from trainer.grpo.algorithm import LEARNER_FIGURES, GRPOConfig
from trainer.grpo.batch import rows_of, to_columns
from trainer.grpo.learner import ITERATION, GRPOLearner
from trainer.grpo.settings import GrpoSettings
from trainer.model import materialised_weights
from trainer.settings import ModelShape

SETTINGS = GrpoSettings(
    max_completion_tokens=64, lora_rank=4, learning_rate=1e-2, warmup_iterations=0, kl_coefficient=0.1, iterations=9
)
GROUPS = [make_group(0, [0.0, 12.0, 6.0], [9, 3, 14]), make_group(1, [1.0, 25.0, 2.0], [20, 7, 11], prompt=9)]
PROJECTIONS = 7 * 2
"""Linear layers of the two blocks of the tests' model."""


def build(policy_dir: Path, settings: GrpoSettings = SETTINGS, start_dir: Path | None = None) -> GRPOLearner:
    config = GRPOConfig().training(grpo=settings, policy_dir=policy_dir, start_dir=start_dir)
    learner = GRPOLearner(config=config, module_spec=config.get_multi_rl_module_spec())
    learner.build()
    return learner


def update(learner: GRPOLearner, iteration: int = 0) -> dict[str, float]:
    columns = SampleBatch(to_columns(rows_of(GROUPS, learner.config.grpo), learner.config.grpo))
    batch = MultiAgentBatch({DEFAULT_MODULE_ID: columns}, env_steps=len(columns))
    figures = MetricsLogger.peek_results(learner.update(batch=batch, timesteps={ITERATION: iteration}))
    return {
        name: float(figures[DEFAULT_MODULE_ID][name]) for name in LEARNER_FIGURES if name in figures[DEFAULT_MODULE_ID]
    }


def test_only_the_adapter_learns_and_only_it_has_optimizer_state(policy_dir):
    learner = build(policy_dir)
    policy = learner._policy_module.policy
    start = {name: weight.clone() for name, weight in policy.state_dict().items()}
    assert all(torch.equal(w, load_checkpoint(policy_dir).model.state_dict()[n]) for n, w in learner_weights(learner))
    for iteration in range(3):
        assert update(learner, iteration)["grad_norm"] > 0
    parts = adapter_parts(policy)
    assert len(parts) == 2 * PROJECTIONS
    for name, weight in policy.state_dict().items():
        assert torch.equal(weight, start[name]) != (name in parts), name
    moments = [state["exp_avg"].numel() for state in learner._optimizer.state.values()]
    assert sum(moments) == sum(part.numel() for part in parts.values())
    assert sum(moments) < 0.1 * sum(weight.numel() for weight in start.values())


def learner_weights(learner: GRPOLearner) -> list[tuple[str, torch.Tensor]]:
    return list(learner.policy_weights().items())


def test_what_is_pushed_computes_what_the_adapter_does_and_leaves_the_base_alone(policy_dir):
    learner = build(policy_dir)
    for iteration in range(3):
        update(learner, iteration)
    policy = learner._policy_module.policy.eval()
    before = {name: weight.clone() for name, weight in policy.state_dict().items()}
    pushed = learner.policy_weights()
    plain = load_checkpoint(policy_dir).model.eval()
    start = plain.state_dict()
    assert pushed.keys() == materialised_weights(plain).keys()
    moved = [name for name in pushed if not torch.equal(pushed[name], start[name])]
    assert len(moved) == PROJECTIONS
    plain.load_state_dict(pushed, strict=False)
    tokens = torch.randint(2, 258, (3, 40), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(plain(tokens).logits, policy(tokens).logits, atol=1e-5, rtol=0)
    again = learner.policy_weights()
    assert all(torch.equal(again[name], pushed[name]) for name in pushed)
    assert all(torch.equal(weight, before[name]) for name, weight in policy.state_dict().items())


def test_the_reference_is_the_policy_without_its_adapter(policy_dir):
    learner = build(policy_dir)
    module = learner._policy_module
    assert not module._reference, "no second copy of the model"
    full = build(policy_dir, SETTINGS.model_copy(update={"lora_rank": 0}))
    first, also_first = update(learner), update(full)
    assert first["kl"] == pytest.approx(0, abs=1e-6)
    assert first["loss"] == pytest.approx(also_first["loss"], rel=1e-4)
    assert update(learner, 1)["kl"] > 1e-4
    assert all(part.requires_grad for part in adapter_parts(module.policy).values())


def test_a_saved_policy_goes_on_exactly_and_is_an_ordinary_model_and_a_peft_adapter(policy_dir, tmp_path):
    straight = build(policy_dir)
    update(straight)
    saved = straight.save_policy(tmp_path / "rl-iter-1", policy_dir, step=1, progress={"policy_version": 1})
    assert {"adapter/adapter_config.json", "adapter/adapter_model.safetensors"} <= load_checkpoint(
        saved
    ).manifest.files.keys()
    update(straight, 1)
    resumed = build(saved, start_dir=policy_dir)
    figures = [update(resumed, 1), update(straight, 2), update(resumed, 2)]
    assert figures[1] == figures[2]
    ours, theirs = straight.policy_weights(), resumed.policy_weights()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)

    tokens = torch.arange(2, 60)[None]
    base = AutoModelForCausalLM.from_pretrained(policy_dir)
    with torch.no_grad():
        merged = AutoModelForCausalLM.from_pretrained(saved)(tokens).logits
        with_adapter = PeftModel.from_pretrained(base, saved / "adapter").eval()(tokens).logits
    torch.testing.assert_close(merged, with_adapter, atol=1e-5, rtol=0)


def test_a_checkpoint_of_another_base_or_without_an_adapter_is_refused(policy_dir, tokenizer_dir, tmp_path):
    learner = build(policy_dir)
    update(learner)
    saved = learner.save_policy(tmp_path / "rl-iter-1", policy_dir, step=1, progress={})
    other = make_policy(tmp_path / "other", tokenizer_dir, seed=1)
    with pytest.raises(AdapterError, match=r"trained over another model .* \(model\.embed_tokens\.weight differs\)"):
        build(saved, start_dir=other)
    with pytest.raises(AdapterError, match="has no adapter of this run's shape"):
        build(other, start_dir=policy_dir)
    with pytest.raises(AdapterError, match="has no adapter of this run's shape"):
        build(saved, SETTINGS.model_copy(update={"lora_rank": 8}), start_dir=policy_dir)


def test_a_finished_adapter_is_a_start_like_any_other(policy_dir, tmp_path):
    learner = build(policy_dir)
    update(learner)
    saved = learner.save_policy(tmp_path / "rl-iter-1", policy_dir, step=1, progress={})
    merged = load_file(saved / "model.safetensors")
    fresh = build(saved)
    assert all(torch.equal(weight, merged[name]) for name, weight in learner_weights(fresh))
    assert update(fresh)["kl"] == pytest.approx(0, abs=1e-6)


def test_models_that_can_t_have_one_are_named(tokenizer_dir, tmp_path, policy_dir):
    shape = ModelShape(hidden_size=256, layers=1, heads=2, kv_heads=1, ffn_size=256, max_positions=128)
    with pytest.raises(AdapterError, match=r"ternary .* Set grpo\.lora_rank = 0"):
        build(make_policy(tmp_path / "ternary", tokenizer_dir, shape))
    with pytest.raises(AdapterError, match=r"grpo\.lora_targets = \['wrong'\] doesn't fit this model"):
        build(policy_dir, SETTINGS.model_copy(update={"lora_targets": ["wrong"]}))


@pytest.mark.filterwarnings("ignore:fan_in_fan_out")
def test_layers_that_are_stored_transposed_or_have_a_bias_merge_as_well():
    config = GPT2Config(vocab_size=64, n_embd=32, n_layer=1, n_head=2, n_positions=32)
    model = GPT2LMHeadModel(config).eval()
    add_adapter(model, Adapter(rank=2, alpha=4.0))
    for part in adapter_parts(model).values():
        torch.nn.init.normal_(part, std=0.1)
    plain = GPT2LMHeadModel(config).eval()
    plain.load_state_dict(materialised_weights(model), strict=False)
    tokens = torch.arange(20)[None]
    with torch.no_grad():
        torch.testing.assert_close(plain(tokens).logits, model(tokens).logits, atol=1e-5, rtol=0)
