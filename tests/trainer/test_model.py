"""The ternary policy: exact values, straight-through gradients, and one folder that transformers opens."""

import pytest
import torch
from pydantic import ValidationError
from transformers import AutoModelForCausalLM

from trainer.checkpoint import load_checkpoint, save_checkpoint
from trainer.model import TERNARY_LAYERS, build_model, is_ternary, materialised_weights, ternary
from trainer.settings import ModelShape


@pytest.fixture
def model():
    torch.manual_seed(0)
    return build_model(ModelShape(layers=2, ffn_size=256), vocab_size=300)


def test_ternary_values_are_three_multiples_of_an_fp16_scale():
    weight = ternary(torch.randn(64, 256, generator=torch.Generator().manual_seed(1)))
    scale = weight.abs().max()
    assert set((weight / scale).unique().tolist()) == {-1.0, 0.0, 1.0}
    assert scale == scale.half().float()


def test_ternary_of_ternary_keeps_signs():
    once = ternary(torch.randn(32, 256, generator=torch.Generator().manual_seed(2)))
    assert torch.equal(ternary(once).sign(), once.sign())


def test_all_projections_are_ternary_and_nothing_else(model):
    weights = materialised_weights(model)
    for name, weight in weights.items():
        projection = name.split(".")[-2] in TERNARY_LAYERS
        assert (len(weight.abs().unique()) <= 2) == projection or weight.ndim == 1, name
    assert "lm_head.weight" not in weights
    assert is_ternary(model)


def test_gradient_passes_straight_through(model):
    x = torch.randint(5, 300, (2, 12), generator=torch.Generator().manual_seed(0))
    layer = model.model.layers[0].mlp.down_proj
    seen = {}
    layer.register_forward_hook(lambda _m, args, out: seen.update(x=args[0].detach(), out=out) or out.retain_grad())
    model(input_ids=x).logits.logsumexp(-1).sum().backward()
    expected = seen["out"].grad.flatten(0, 1).T @ seen["x"].flatten(0, 1)
    torch.testing.assert_close(layer.weight.grad, expected, rtol=1e-4, atol=1e-5)


def test_the_saved_folder_is_an_ordinary_llama_with_the_same_logits(model, tmp_path):
    folder = save_checkpoint(tmp_path / "step_1", model, tmp_path, kind="supervised", step=1)
    x = torch.randint(5, 300, (2, 12), generator=torch.Generator().manual_seed(0))
    plain = AutoModelForCausalLM.from_pretrained(folder)
    assert not is_ternary(plain)
    with torch.no_grad():
        assert torch.equal(plain(x).logits, model(x).logits)
    reopened = load_checkpoint(folder).model
    assert is_ternary(reopened)
    assert torch.equal(reopened.model.layers[0].mlp.up_proj.weight, model.model.layers[0].mlp.up_proj.weight)


def test_a_shape_that_gguf_cannot_hold_is_refused():
    with pytest.raises(ValidationError, match="multiples of 256"):
        ModelShape(hidden_size=320)
    assert ModelShape(hidden_size=320, ffn_size=896, ternary=False).hidden_size == 320
