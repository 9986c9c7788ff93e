"""A tiny Llama with a byte-level tokenizer, as a checkpoint folder, and builders of judged groups."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

os.environ |= {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "HF_HUB_OFFLINE": "1",
    "OMP_NUM_THREADS": "1",
}

import pytest
import ray
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from reward_farm.problem import Case, Problem
from reward_farm.verdict import InfraFault, Outcome, RewardBreakdown, Scored, Verdict
from rollout.types import Completion, VersionSpan
from trainer.checkpoint import save_checkpoint
from trainer.grpo.group import Group, Sample
from trainer.model import build_model
from trainer.pretrain import next_token_loss
from trainer.settings import ModelShape
from trainer.tasks.task import Split, Task

EOS, PAD = 0, 1
SHAPE = ModelShape(hidden_size=64, layers=2, heads=2, kv_heads=1, ffn_size=96, max_positions=256, ternary=False)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def tokenizer_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One token a byte, after the end-of-text and padding tokens."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    specials = ["<|endoftext|>", "<|pad|>"]
    tokenizer = Tokenizer(models.BPE({token: i for i, token in enumerate([*specials, *alphabet])}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    folder = tmp_path_factory.mktemp("tokenizer")
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=specials[0], bos_token=specials[0], pad_token=specials[1]
    ).save_pretrained(folder)
    return folder


def make_policy(folder: Path, tokenizer_dir: Path, shape: ModelShape = SHAPE, seed: int = 0) -> Path:
    """A checkpoint of a random model."""
    torch.manual_seed(seed)
    return save_checkpoint(folder, build_model(shape, 258), tokenizer_dir, kind="test", step=0)


@pytest.fixture(scope="session")
def policy_dir(tokenizer_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_policy(tmp_path_factory.mktemp("policy") / "start", tokenizer_dir)


def make_task(number: int) -> Task:
    """Add a constant to an integer."""
    prompt = f"/// Adds {number}.\npub fn add_{number}(x: i64) -> i64 {{"
    problem = Problem(f"add_{number}", ("i64",), "i64", (Case((1,), 1 + number), Case((-5,), number - 5)))
    return Task(f"add-{number}", "add", Split.TRAIN, prompt, f"Add {number}.", f"\n    x + {number}\n}}\n", problem)


@pytest.fixture(scope="session")
def taught_dir(tokenizer_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of a model that has seen the answers a few times: it gets some right and some wrong."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_dir)
    texts = [[*tokenizer.encode(task.prompt + task.reference), EOS] for task in map(make_task, range(10))]
    width = max(map(len, texts))
    windows_B_T = torch.tensor([text + [PAD] * (width - len(text)) for text in texts])
    model = build_model(SHAPE, 258)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(120):
        next_token_loss(model, windows_B_T).backward()
        optimizer.step()
        optimizer.zero_grad()
    return save_checkpoint(tmp_path_factory.mktemp("taught") / "start", model, tokenizer_dir, kind="test", step=0)


@pytest.fixture(scope="session")
def cluster() -> Iterator[None]:
    ray.init(num_cpus=2, include_dashboard=False, object_store_memory=100 << 20, logging_level="ERROR")
    yield
    ray.shutdown()


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
