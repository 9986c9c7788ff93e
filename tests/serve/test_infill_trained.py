"""A model that was trained here to fill gaps, exported and asked: its file, our server and llama.cpp's own agree on the
order in which it was trained to see what stands around a gap."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from fastapi.testclient import TestClient
from gguf import GGUFReader

sys.path.append(str(Path(__file__).parents[1] / "trainer" / "export"))

from tiny_llama import RUST

from serve.api import create_app
from serve.engine import Engine
from serve.model_file import read_model_file
from serve.models import Models
from serve.settings import ServeSettings
from trainer.corpus.infill import Infill
from trainer.corpus.token_file import write_token_file
from trainer.corpus.tokenizer import FIM_MIDDLE_ID, FIM_PREFIX_ID, FIM_SUFFIX_ID, train_tokenizer
from trainer.corpus.windows import DocumentWindows, MixtureSampler
from trainer.export.writer import export_gguf
from trainer.model import build_model
from trainer.pretrain import pretrain
from trainer.settings import ModelShape, PretrainSettings

WORDS = ("red", "green", "blue")
VALUES = {word: f"let value = {number};" for number, word in enumerate(WORDS, 1)}
"""What belongs before a comment. The comment before the gap says nothing, so a model that
is shown the two sides in another order than it was trained in goes by the wrong one."""
PAIRS = list(itertools.product(WORDS, WORDS))
STEPS = 400


def around(first: str, last: str) -> tuple[str, str]:
    return f"// {first}\n", f"\n// {last}\n"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some seconds of the real training, on documents whose gap is told by what stands after it alone."""
    folder = tmp_path_factory.mktemp("trained")
    texts = [VALUES[pair[1]].join(around(*pair)) for pair in PAIRS]
    tokenizer = train_tokenizer([RUST, *texts], 320, folder / "tokenizer", fim=True)
    tokens = write_token_file(folder / "t.bin", {"train": [("c", text) for text in texts]}, tokenizer, "0" * 64)
    settings = PretrainSettings(
        base_steps=STEPS - 1, target_steps=STEPS, batch_size=24, context=28, learning_rate=5e-3, threads=1,
        checkpoint_interval=STEPS, resume_seconds=600,
    )  # fmt: skip
    infill = Infill(tokenizer, 0.9, 0.0, seed=0)
    windows = DocumentWindows(tokens.split("train"), settings.context, 0, infill)
    torch.manual_seed(0)
    shape = ModelShape(hidden_size=64, layers=2, heads=4, kv_heads=2, ffn_size=128, max_positions=256, ternary=False)
    return pretrain(
        settings, batches=MixtureSampler([(windows, 1.0)], 0, settings.batch_size),
        start=build_model(shape, tokenizer.get_vocab_size()), first_step=0, last_step=STEPS, directory=folder / "run",
        tokenizer_dir=folder / "tokenizer", kind="supervised", on_step=lambda _: None,
    )  # fmt: skip


@pytest.fixture(scope="module")
def model_path(trained: Path) -> Path:
    return export_gguf(trained, trained.parent / "model.gguf", "F16", "F16").path


@pytest.fixture(scope="module")
def served(model_path: Path) -> Iterator[tuple[TestClient, Engine]]:
    settings = ServeSettings(model=model_path, name="tiny", slots=1)
    models = Models(settings)
    with TestClient(create_app(models, settings)) as client:
        yield client, models.get("tiny").engine


def test_the_file_names_the_markers_that_it_was_trained_with(model_path: Path) -> None:
    fields = GGUFReader(model_path).fields
    names = [f"tokenizer.ggml.fim_{part}_token_id" for part in ("pre", "suf", "mid")]
    assert [fields[name].contents() for name in names] == [FIM_PREFIX_ID, FIM_SUFFIX_ID, FIM_MIDDLE_ID]
    assert read_model_file(model_path).fim == (FIM_PREFIX_ID, FIM_SUFFIX_ID, FIM_MIDDLE_ID)


@pytest.mark.parametrize("pair", PAIRS)
def test_a_gap_is_filled_by_what_stands_before_and_after_it(
    served: tuple[TestClient, Engine], pair: tuple[str, str]
) -> None:
    client, engine = served
    before, after = around(*pair)
    asked = {"input_prefix": before, "input_suffix": after, "n_predict": 24, "temperature": 0}
    assert client.post("/infill", json=asked).json()["content"] == VALUES[pair[1]]
    body = {"prompt": before, "suffix": after, "max_tokens": 24, "temperature": 0}
    (choice,) = client.post("/v1/completions", json=body).json()["choices"]
    assert (choice["text"], choice["finish_reason"]) == (VALUES[pair[1]], "stop"), "and it knows where the gap ends"
    assert engine._post("/infill", asked)["content"] == VALUES[pair[1]], "llama.cpp's own"
