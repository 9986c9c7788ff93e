"""Tasks as code to go on with or as a chat, and the file that an answer stands for."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from grpo_builders import make_task

from trainer.corpus.tokenizer import train_tokenizer
from trainer.corpus.windows import PADDING, DocumentWindows
from trainer.grpo.asking import Asking
from trainer.grpo.codec import Codec
from trainer.grpo.demonstrations import demonstrations
from trainer.grpo.errors import NoChatTemplate
from trainer.grpo.settings import PromptName

TASK = make_task(3)
BODY = "\n    x + 3\n}\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("asking") / "tokenizer"
    train_tokenizer([TASK.prompt + BODY], 270, folder)
    return folder


@pytest.fixture(scope="module")
def without_chat(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    plain = tmp_path_factory.mktemp("plain") / "tokenizer"
    shutil.copytree(folder, plain)
    config = json.loads((plain / "tokenizer_config.json").read_text())
    del config["chat_template"]
    (plain / "tokenizer_config.json").write_text(json.dumps(config))
    return plain


def test_code_is_gone_on_with_exactly_as_it_is(folder: Path) -> None:
    asking = Asking(codec := Codec(folder), "code")
    ids = asking.prompt_ids(TASK)
    assert codec.decode(ids) == TASK.prompt
    written = codec.encode(BODY)
    assert asking.text([*written, codec.eos_token_id]) == asking.text(written) == BODY
    assert asking.source(TASK, BODY) == TASK.prompt + BODY


def test_a_chat_asks_in_words_and_the_rust_in_its_answer_is_judged(folder: Path) -> None:
    codec = Codec(folder)
    for prompts in ("chat", "auto"):
        asking = Asking(codec, prompts)
        assert asking.chat
        text = codec.decode(asking.prompt_ids(TASK))
        assert "Add 3." in text and "add_3(x: i64) -> i64" in text, "the signature, without which no test can call it"
    answer = f"Sure!\n```rust\n{TASK.prompt}{BODY}```\nIt adds three."
    assert asking.source(TASK, answer).strip() == (TASK.prompt + BODY).strip()
    rest_alone = f"```rust\n{BODY}```"
    assert asking.source(TASK, rest_alone).startswith(TASK.prompt)


def test_without_a_template_auto_is_code_and_chat_is_refused(without_chat: Path) -> None:
    assert not Asking(Codec(without_chat), "auto").chat
    with pytest.raises(NoChatTemplate, match='Take "code"'):
        Asking(Codec(without_chat), "chat")


@pytest.mark.parametrize("prompts", ["code", "chat"])
def test_a_demonstration_is_the_question_and_an_answer_that_earns_full_marks(folder: Path, prompts: PromptName) -> None:
    asking = Asking(codec := Codec(folder), prompts)
    tasks = [make_task(number) for number in range(6)]
    told = demonstrations(asking, [*tasks, replace(TASK, reference="")])
    texts = [told.ids[a:b].tolist() for a, b in pairwise(told.document_bounds)]
    assert len(texts) == len(tasks), "a task without an answer shows nothing"
    for task, ids in zip(tasks, texts, strict=True):
        asked = asking.prompt_ids(task)
        assert tuple(ids[: len(asked)]) == asked and ids[-1] == codec.eos_token_id
        answer = asking.text(ids[len(asked) :])
        assert asking.source(task, answer).strip() == task.solved.strip()
    windows = DocumentWindows(told, 4 * max(map(len, texts)), seed=0).rows(np.arange(2))
    assert {codec.eos_token_id, PADDING} <= set(windows[windows < 10].tolist()), "where an answer ends is learnt"
