"""Supervised training: it learns, it resumes to the bit, it says when it diverges."""

import itertools

import numpy as np
import pytest
import torch

from trainer import pretrain as pretrain_module
from trainer.checkpoint import load_checkpoint
from trainer.corpus.windows import PADDING
from trainer.errors import DivergedError, OutOfMemory
from trainer.model import build_model, materialised_weights
from trainer.pretrain import learning_rate, pretrain
from trainer.settings import ModelShape, PretrainSettings


class Periodic:
    """Windows of a repeating pattern: learnable within a few steps, a pure function of the step."""

    def batch(self, step):
        starts = np.random.default_rng(step).integers(0, 7, (8, 1))
        return (starts + np.arange(33)) % 7 + 5


def run(folder, last, *, settings, seen=None, ternary=True):
    torch.manual_seed(0)
    start = build_model(ModelShape(layers=1, ffn_size=256, ternary=ternary), vocab_size=64)
    return pretrain(
        settings, batches=Periodic(), start=start, first_step=0, last_step=last, directory=folder,
        tokenizer_dir=folder, kind="supervised", on_step=(seen if seen is not None else []).append,
    )  # fmt: skip


SETTINGS = PretrainSettings(base_steps=1, target_steps=30, batch_size=8, context=32, warmup_steps=2, threads=1)


def test_loss_falls(tmp_path):
    seen = []
    run(tmp_path, 30, settings=SETTINGS, seen=seen)
    assert [r.step for r in seen] == list(range(1, 31))
    assert seen[-1].loss < 0.5 * seen[0].loss
    assert seen[-1].tokens == 30 * 8 * 32


def test_an_interrupted_run_ends_with_the_same_bits(tmp_path):
    whole = run(tmp_path / "whole", 12, settings=SETTINGS)
    run(tmp_path / "parts", 5, settings=SETTINGS)
    seen = []
    parts = run(tmp_path / "parts", 12, settings=SETTINGS, seen=seen)
    assert [r.step for r in seen] == list(range(6, 13))
    a, b = (materialised_weights(load_checkpoint(p).model) for p in (whole, parts))
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_a_finished_phase_is_not_redone(tmp_path):
    run(tmp_path, 3, settings=SETTINGS)
    seen = []
    assert run(tmp_path, 3, settings=SETTINGS, seen=seen) == tmp_path / "step_3"
    assert seen == []


def test_divergence_is_an_error_that_says_what_to_do(tmp_path):
    settings = SETTINGS.model_copy(update={"learning_rate": float("inf"), "warmup_steps": 0})
    with pytest.raises(DivergedError, match="Lower learning_rate"):
        run(tmp_path, 5, settings=settings)


def test_the_schedule_warms_up_holds_and_decays():
    settings = PretrainSettings(base_steps=1, target_steps=100, learning_rate=1.0, warmup_steps=10, decay_share=0.5)
    rates = [learning_rate(settings, step) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[10:50] == [1.0] * 40
    assert rates[99] == pytest.approx(0.1)
    assert all(a >= b for a, b in itertools.pairwise(rates[50:]))


def limit_memory(monkeypatch, windows):
    """The forward pass raises what torch raises when it gets more than so many windows."""
    forward, seen = pretrain_module.next_token_loss, []

    def limited(model, windows_B_T):
        seen.append(len(windows_B_T))
        if len(windows_B_T) > windows:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(model, windows_B_T)

    monkeypatch.setattr(pretrain_module, "next_token_loss", limited)
    return seen


def test_out_of_memory_redoes_the_step_in_pieces_and_remembers(tmp_path, monkeypatch):
    """On a plain model: a ternary weight that rounding flips is soon another path."""
    calm, pressed = [], []
    run(tmp_path / "calm", 3, settings=SETTINGS, ternary=False, seen=calm)
    sizes = limit_memory(monkeypatch, 3)
    run(tmp_path / "pressed", 2, settings=SETTINGS, ternary=False, seen=pressed)
    assert sizes == [8, 4] + [2] * 4 + [2] * 4
    run(tmp_path / "pressed", 3, settings=SETTINGS, ternary=False, seen=pressed)
    assert sizes[10:] == [2] * 4, "a resumed run doesn't try the sizes that failed"
    assert [r.loss for r in pressed] == pytest.approx([r.loss for r in calm], rel=1e-4)
    assert [r.grad_norm for r in pressed] == pytest.approx([r.grad_norm for r in calm], rel=1e-3)


def test_pieces_with_padding_weigh_by_their_tokens():
    torch.manual_seed(0)
    model = build_model(ModelShape(layers=1, ffn_size=256, ternary=False), vocab_size=64)
    windows = torch.randint(5, 64, (4, 9))
    windows[0, 3:], windows[2:] = PADDING, PADDING
    (whole, _), want = pretrain_module.accumulate(model, windows, 4), model.model.norm.weight.grad.clone()
    (pieces, _), got = pretrain_module.accumulate(model, windows, 1), model.model.norm.weight.grad.clone()
    assert torch.equal(whole, pretrain_module.next_token_loss(model, windows).detach())
    torch.testing.assert_close((pieces, got), (whole, want))


def test_a_window_that_does_not_fit_is_an_error_for_the_user(tmp_path, monkeypatch):
    limit_memory(monkeypatch, 0)
    with pytest.raises(OutOfMemory, match=r"one window of 32 tokens .*pretrain\.context"):
        run(tmp_path, 1, settings=SETTINGS)
