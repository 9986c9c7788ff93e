"""A tiny Llama with a byte-level tokenizer, as a checkpoint folder, and builders of judged groups."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from grpo_builders import SHAPE, make_policy, make_task
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from trainer.checkpoint import save_checkpoint
from trainer.corpus.windows import PADDING
from trainer.model import build_model
from trainer.pretrain import next_token_loss

EOS = 0


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


@pytest.fixture(scope="session")
def policy_dir(tokenizer_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_policy(tmp_path_factory.mktemp("policy") / "start", tokenizer_dir)


def teach(steps: int, tokenizer_dir: Path, folder: Path) -> Path:
    """A checkpoint of a model that has seen the answers `steps` times: it gets some right and some wrong."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_dir)
    texts = [[*tokenizer.encode(task.prompt + task.reference), EOS] for task in map(make_task, range(10))]
    width = max(map(len, texts))
    windows_B_T = torch.tensor([text + [PADDING] * (width - len(text)) for text in texts])
    model = build_model(SHAPE, 258)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(steps):
        next_token_loss(model, windows_B_T).backward()
        optimizer.step()
        optimizer.zero_grad()
    return save_checkpoint(folder, model, tokenizer_dir, kind="test", step=0)


@pytest.fixture(scope="session")
def taught_dir(tokenizer_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return teach(120, tokenizer_dir, tmp_path_factory.mktemp("taught") / "start")


@pytest.fixture(scope="session")
def half_taught_dir(tokenizer_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """It compiles now and then: what is left to learn is left to the rewards."""
    return teach(80, tokenizer_dir, tmp_path_factory.mktemp("half_taught") / "start")
