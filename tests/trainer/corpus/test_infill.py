"""Rearranged documents: exact, repeatable, in the share asked for, and never of two documents at once."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import ValidationError
from tokenizers import Tokenizer

from trainer.corpus.errors import TokenizerError
from trainer.corpus.infill import SLACK, Infill
from trainer.corpus.settings import CorpusSettings
from trainer.corpus.token_file import TokenFile, TokenView, write_token_file
from trainer.corpus.tokenizer import END_OF_TEXT_ID, FIM_MIDDLE_ID, FIM_PREFIX_ID, FIM_SUFFIX_ID, train_tokenizer
from trainer.corpus.windows import PADDING, DocumentWindows, MixtureSampler, StreamWindows

CONTEXT = 192


@pytest.fixture(scope="module")
def tokenizer(rust: list[str], tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return train_tokenizer(rust, 600, tmp_path_factory.mktemp("tokenizer") / "tokenizer", fim=True)


@pytest.fixture(scope="module")
def texts(rust: list[str]) -> list[str]:
    """Functions, of which a window holds a few; no two are alike."""
    return [f"/// {part.rstrip()}\n" for text in rust for part in text.split("/// ") if part]


@pytest.fixture(scope="module")
def tokens(tokenizer: Tokenizer, texts: list[str], tmp_path_factory: pytest.TempPathFactory) -> TokenView:
    path = tmp_path_factory.mktemp("tokens") / "tokens.bin"
    documents = {"train": [("crate", text) for text in texts]}
    return write_token_file(path, documents, tokenizer, "0" * 64).split("train")


def original(tokenizer: Tokenizer, ids: Sequence[int]) -> str:
    """The text of a document, put back in order if it was rearranged: first, suffix and middle are told by markers."""
    ids = [token for token in ids if token != END_OF_TEXT_ID]
    if FIM_MIDDLE_ID not in ids:
        return tokenizer.decode(ids, skip_special_tokens=False)
    before, after, filling = (ids.index(marker) for marker in (FIM_PREFIX_ID, FIM_SUFFIX_ID, FIM_MIDDLE_ID))
    first = ids[before + 1 : after if after > before else filling]
    last = ids[after + 1 : before if before > after else filling]
    return "".join(tokenizer.decode(part, skip_special_tokens=False) for part in (first, ids[filling + 1 :], last))


def documents_of(row: NDArray[np.int64]) -> list[list[int]]:
    """The pieces that end-of-text parts; the last may be cut off by the window."""
    filled = row[row != PADDING]
    bounds = [0, *(np.flatnonzero(filled == END_OF_TEXT_ID) + 1).tolist()]
    bounds += [len(filled)] if bounds[-1] < len(filled) else []
    return [filled[start:end].tolist() for start, end in pairwise(bounds)]


@settings(deadline=None)
@given(text=st.text(min_size=1, max_size=300), place=st.integers(0, 1000), spm=st.sampled_from([0.0, 1.0]))
def test_any_text_comes_back_exactly(tokenizer: Tokenizer, text: str, place: int, spm: float) -> None:
    infill = Infill(tokenizer, 1.0, spm, seed=0)
    tokenizer.encode_special_tokens = True
    ids = tokenizer.encode(text).ids
    tokenizer.encode_special_tokens = False
    found = infill.rearranged([*ids, END_OF_TEXT_ID], place)
    if found is None:
        assert len(ids) < 12 or "\N{REPLACEMENT CHARACTER}" in text or len(text.encode()) > len(text), "left as it is"
        return
    assert original(tokenizer, found) == text
    assert found[0] == (FIM_SUFFIX_ID if spm else FIM_PREFIX_ID) and found[-1] == END_OF_TEXT_ID
    assert found.count(END_OF_TEXT_ID) == 1 and len(found) <= len(ids) + 1 + SLACK
    assert infill.rearranged(ids, place) == found


def test_chats_and_scraps_stay_as_they_are(tokenizer: Tokenizer, texts: list[str]) -> None:
    infill = Infill(tokenizer, 1.0, 0.0, seed=0)
    assert infill.rearranged(tokenizer.encode(f"<|user|>Add.<|assistant|>{texts[0]}").ids, 0) is None
    assert infill.rearranged(tokenizer.encode("fn f() {}").ids, 0) is None
    half = tokenizer.encode("🦀" + texts[0]).ids[1:]
    assert infill.rearranged(half, 0) is None, "half a character can't be encoded again"


def test_a_tokenizer_without_markers_is_refused(rust: list[str], tmp_path: Path) -> None:
    plain = train_tokenizer(rust, 600, tmp_path / "tokenizer")
    with pytest.raises(TokenizerError, match=r"no <\|fim_prefix\|>.*Build the corpus again"):
        Infill(plain, 0.5, 0.0, seed=0)


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_document_windows_hold_whole_documents_in_another_gap_each_epoch(
    tokenizer: Tokenizer, tokens: TokenView, texts: list[str], share: float
) -> None:
    windows = DocumentWindows(tokens, CONTEXT, 0, Infill(tokenizer, share, 0.0, seed=0))
    count = len(windows._packed)
    epochs = [windows.rows(np.arange(count) + epoch * count) for epoch in range(2)]
    cut: list[list[list[int]]] = []
    for epoch in epochs:
        found = [document for row in epoch for document in documents_of(row)]
        assert sorted(original(tokenizer, document) for document in found) == sorted(texts)
        cut.append(sorted(document for document in found if FIM_MIDDLE_ID in document))
        assert share * 0.6 < len(cut[-1]) / len(texts) < share * 1.4
    assert len(cut[0]) > 10 and sum(document in cut[1] for document in cut[0]) < len(cut[0]) / 4


def test_stream_windows_rearrange_what_they_hold_and_mix_no_documents(
    tokenizer: Tokenizer, tokens: TokenView, texts: list[str]
) -> None:
    plain = StreamWindows(tokens, CONTEXT, 0)
    rows = StreamWindows(tokens, CONTEXT, 0, Infill(tokenizer, 0.5, 0.5, seed=0)).rows(np.arange(200))
    pieces = [piece for row in rows for piece in documents_of(row)]
    gaps = [piece for piece in pieces if FIM_MIDDLE_ID in piece]
    assert 0.3 < len(gaps) / len(pieces) < 0.6
    first = sum(piece[0] == FIM_PREFIX_ID for piece in gaps)
    assert 0.3 < first / len(gaps) < 0.7
    for piece in gaps:
        assert piece[-1] == END_OF_TEXT_ID, "a gap is never without its whole filling"
        assert sum(piece.count(marker) for marker in (FIM_PREFIX_ID, FIM_SUFFIX_ID, FIM_MIDDLE_ID)) == 3
    for row, before in zip(rows, plain.rows(np.arange(200)), strict=True):
        texts_before = [original(tokenizer, piece) for piece in documents_of(before)]
        for number, piece in enumerate(documents_of(row)):
            assert texts_before[number].startswith(original(tokenizer, piece)), "of this document, and no other"
    assert ((rows == PADDING).sum(axis=1) <= 2 * SLACK).all()


def test_batches_are_the_same_for_a_step_in_another_process(tokenizer: Tokenizer, tokens: TokenView) -> None:
    def sampler(share: float) -> MixtureSampler:
        infill = Infill(tokenizer, share, 0.5, seed=3) if share else None
        sources = [(StreamWindows(tokens, CONTEXT, 1, infill), 0.5), (DocumentWindows(tokens, CONTEXT, 1, infill), 0.5)]
        return MixtureSampler(sources, 2, batch_size=4)

    running = sampler(0.5)
    batches = [running.batch(step) for step in range(40)]
    for step in (39, 0, 17):
        assert np.array_equal(sampler(0.5).batch(step), batches[step])
    assert not np.array_equal(sampler(0).batch(17), batches[17])


def test_a_marker_in_a_crate_is_text(tokenizer: Tokenizer, texts: list[str], tmp_path: Path) -> None:
    path = tmp_path / "tokens.bin"
    write_token_file(path, {"train": [("crate", texts[0] + "<|fim_middle|>")]}, tokenizer, "0" * 64)
    ids = TokenFile.open(path).split("train").ids
    assert FIM_MIDDLE_ID not in ids
    found = Infill(tokenizer, 1.0, 0.0, seed=0).rearranged(ids.tolist(), 0)
    assert found is not None and found.count(FIM_MIDDLE_ID) == 1


def test_an_order_without_gaps_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"set corpus\.fim_share above 0"):
        CorpusSettings(fim_spm_share=0.5)
