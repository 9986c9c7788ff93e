"""The tokenizer loses nothing, has its special tokens where everyone expects them, and opens in transformers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from transformers import AutoTokenizer

from trainer.corpus.errors import TokenizerError
from trainer.corpus.tokenizer import (
    FIM_TOKENS,
    SPECIAL_TOKENS,
    can_infill,
    chat_document,
    load_tokenizer,
    tokenizer_sha256,
    train_tokenizer,
    training_sample,
)


@pytest.fixture(scope="module")
def directory(rust: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("tokenizer") / "tokenizer"
    train_tokenizer(rust, 600, directory)
    return directory


@pytest.fixture(scope="module")
def tokenizer(directory: Path) -> Tokenizer:
    return load_tokenizer(directory)


@settings(deadline=None)
@given(text=st.text())
def test_any_text_comes_back(tokenizer: Tokenizer, text: str) -> None:
    tokenizer.encode_special_tokens = True
    ids = tokenizer.encode(text).ids
    tokenizer.encode_special_tokens = False
    assert tokenizer.decode(ids, skip_special_tokens=False) == text


def test_special_tokens_come_first_and_are_one_id_each(tokenizer: Tokenizer, rust: list[str], tmp_path: Path) -> None:
    assert tokenizer.get_vocab_size() == 600
    assert tokenizer.encode("".join(SPECIAL_TOKENS)).ids == [0, 1, 2, 3]
    assert not can_infill(tokenizer)
    train_tokenizer([f"{text} <|fim_middle|>" for text in rust], 600, tmp_path / "fim", fim=True)
    with_gaps = load_tokenizer(tmp_path / "fim")
    assert can_infill(with_gaps) and with_gaps.get_vocab_size() == 600
    assert with_gaps.encode("".join((*SPECIAL_TOKENS, *FIM_TOKENS))).ids == list(range(7))
    fast = AutoTokenizer.from_pretrained(tmp_path / "fim")
    assert fast.decode([6, 2], skip_special_tokens=True) == "", "transformers takes them for special too"


def test_a_tokenizer_of_an_earlier_release_loads_and_fills_no_gaps(directory: Path, tmp_path: Path) -> None:
    whole = json.loads((directory / "tokenizer.json").read_text())
    vocab = whole["model"]["vocab"]
    (fifth,) = (token for token, i in vocab.items() if i == 4)
    whole["added_tokens"].append({**whole["added_tokens"][0], "id": 4, "content": "<|fim|>"})
    vocab["<|fim|>"] = vocab.pop(fifth)
    whole["model"]["merges"] = []
    (tmp_path / "tokenizer.json").write_text(json.dumps(whole))
    assert not can_infill(load_tokenizer(tmp_path))


def test_digits_stand_alone(tokenizer: Tokenizer) -> None:
    assert [token for token in tokenizer.encode("let x = 1024;").tokens if token.isdigit()] == ["1", "0", "2", "4"]


def test_the_same_texts_give_the_same_tokenizer(rust: list[str], directory: Path, tmp_path: Path) -> None:
    train_tokenizer(rust, 600, tmp_path / "again")
    assert tokenizer_sha256(tmp_path / "again") == tokenizer_sha256(directory)


def test_transformers_opens_it_and_renders_the_training_form(directory: Path, tokenizer: Tokenizer) -> None:
    fast = AutoTokenizer.from_pretrained(directory)
    assert (fast.bos_token_id, fast.eos_token_id, fast.pad_token_id, len(fast)) == (0, 0, 1, 600)
    code = "pub fn f(x: u32) -> u32 {\n    x + 10\n}\n"
    assert fast(code, add_special_tokens=True)["input_ids"] == tokenizer.encode(code).ids
    assert fast.decode(tokenizer.encode(code).ids) == code

    user, answer = {"role": "user", "content": "Add ten."}, {"role": "assistant", "content": code}
    document = chat_document("Add ten.", code) + "<|endoftext|>"
    assert fast.apply_chat_template([user, answer], tokenize=False) == document
    prompt = fast.apply_chat_template([user], add_generation_prompt=True, tokenize=False)
    assert prompt == "<|user|>Add ten.<|assistant|>"
    assert document.startswith(prompt)
    ids = fast.apply_chat_template([user], add_generation_prompt=True, return_dict=False)
    assert (ids[0], ids[-1]) == (2, 3)

    system = {"role": "system", "content": "Be brief."}
    turns = [system, user, answer, {"role": "user", "content": "Again."}]
    rendered = fast.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
    assert rendered == f"<|user|>Be brief.\n\nAdd ten.<|assistant|>{code}<|endoftext|><|user|>Again.<|assistant|>"
    with pytest.raises(Exception, match="unknown role tool"):
        fast.apply_chat_template([{"role": "tool", "content": "x"}], tokenize=False)


def test_too_little_text_for_the_vocabulary_says_so(tmp_path: Path) -> None:
    with pytest.raises(TokenizerError, match=r"smaller corpus\.vocab_size"):
        train_tokenizer(["fn main() {}"], 2048, tmp_path / "tokenizer")
    assert list(tmp_path.iterdir()) == []


def test_missing_damaged_and_foreign_tokenizers_say_so(directory: Path, tmp_path: Path) -> None:
    with pytest.raises(TokenizerError, match="Build the corpus first"):
        load_tokenizer(tmp_path)
    path = tmp_path / "tokenizer.json"
    path.write_text((directory / "tokenizer.json").read_text()[:1000])
    with pytest.raises(TokenizerError, match="is damaged"):
        load_tokenizer(tmp_path)
    whole = json.loads((directory / "tokenizer.json").read_text())
    whole["added_tokens"] = []
    path.write_text(json.dumps(whole).replace("<|user|>", "<|human|>"))
    with pytest.raises(TokenizerError, match="another project's tokenizer"):
        load_tokenizer(tmp_path)


def test_the_sample_gives_extra_documents_their_share() -> None:
    sample = training_sample(["c" * 100] * 1000, ["e" * 50] * 3, 10_000, 0.4, seed=0)
    extra = sum(len(text) for text in sample if text[0] == "e")
    assert extra == pytest.approx(4000, abs=50)
    assert sum(map(len, sample)) == pytest.approx(10_000, abs=150)
    assert training_sample(["c" * 10] * 5, [], 1000, 0.4, seed=0) == ["c" * 10] * 5
