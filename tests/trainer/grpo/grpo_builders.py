"""Tasks, completions, verdicts, groups and tiny policies that the tests of GRPO are made of."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from reward_farm.problem import Case, Problem
from reward_farm.verdict import InfraFault, Outcome, RewardBreakdown, Scored, Verdict
from rollout.types import Completion, VersionSpan
from trainer.checkpoint import save_checkpoint
from trainer.grpo.group import Group, Sample
from trainer.model import build_model
from trainer.settings import ModelShape
from trainer.tasks.task import Split, Task

SHAPE = ModelShape(hidden_size=64, layers=2, heads=2, kv_heads=1, ffn_size=96, max_positions=256, ternary=False)


def make_policy(folder: Path, tokenizer_dir: Path, shape: ModelShape = SHAPE, seed: int = 0) -> Path:
    """A checkpoint of a random model."""
    torch.manual_seed(seed)
    return save_checkpoint(folder, build_model(shape, 258), tokenizer_dir, kind="test", step=0)


def make_task(number: int) -> Task:
    """Add a constant to an integer."""
    prompt = f"/// Adds {number}.\npub fn add_{number}(x: i64) -> i64 {{"
    problem = Problem(f"add_{number}", ("i64",), "i64", (Case((1,), 1 + number), Case((-5,), number - 5)))
    return Task(f"add-{number}", "add", Split.TRAIN, prompt, f"Add {number}.", f"\n    x + {number}\n}}\n", problem)


def make_completion(
    id_: str,
    prompt_ids: Sequence[int],
    token_ids: Sequence[int],
    logprobs: Sequence[float] | None = None,
    version: int = 0,
) -> Completion:
    done = tuple(token_ids)
    return Completion(
        id=id_,
        prompt_ids=tuple(prompt_ids),
        token_ids=done,
        logprobs=tuple(logprobs) if logprobs is not None else (-1.0,) * len(done),
        finish_reason="stop",
        versions=(VersionSpan(version, 0, len(done)),),
    )


def verdict_of(id_: str, reward: float | None) -> Verdict:
    """Scored with a reward for tests passed, or a fault of ours."""
    if reward is None:
        return InfraFault(id_, "the worker died")
    return Scored(id_, Outcome.PASSED if reward >= 12 else Outcome.TEST_FAILED, RewardBreakdown(tests=reward))


def make_group(index: int, rewards: Sequence[float | None], lengths: Sequence[int], prompt: int = 5) -> Group:
    """A group of random completions of these lengths."""
    generator = torch.Generator().manual_seed(index)
    prompt_ids = torch.randint(2, 258, (prompt,), generator=generator).tolist()
    samples = []
    for place, (reward, length) in enumerate(zip(rewards, lengths, strict=True)):
        tokens = torch.randint(2, 258, (length,), generator=generator).tolist()
        logprobs = (-torch.rand(length, generator=generator) * 5 - 3).tolist()
        id_ = f"{index}-{place}"
        completion = make_completion(id_, prompt_ids, tokens, logprobs)
        samples.append(Sample(completion, f"text {place}", verdict_of(id_, reward)))
    return Group(index, make_task(index), tuple(samples))
