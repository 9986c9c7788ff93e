"""Token files are what their manifests say, or say that they aren't; a full disk leaves nothing half-written."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from trainer.corpus.errors import TokenFileCorrupt, TokenFileError, TokenizerMismatch
from trainer.corpus.token_file import TokenFile, write_token_file
from trainer.corpus.tokenizer import train_tokenizer

DOCUMENTS = {
    "train": [("a", "fn a() {}\n"), ("b", "fn b() -> u32 {\n    7\n}\n"), ("a", "a <|endoftext|> is only text here")],
    "validation": [("c", "fn c() {}\n")],
}


@pytest.fixture(scope="module")
def tokenizer(rust: list[str], tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return train_tokenizer(rust, 512, tmp_path_factory.mktemp("t") / "tokenizer")


@pytest.fixture
def tokens(tokenizer: Tokenizer, tmp_path: Path) -> TokenFile:
    return write_token_file(tmp_path / "rust_tokens.bin", DOCUMENTS, tokenizer, "a" * 64)


def test_every_document_comes_back_and_ends_once(tokens: TokenFile, tokenizer: Tokenizer) -> None:
    assert tokens.ids.dtype == np.uint16
    for name, documents in DOCUMENTS.items():
        view = tokens.split(name)
        bounds = view.document_bounds
        assert len(bounds) == len(documents) + 1
        for place, (_, text) in enumerate(documents):
            ids = view.ids[bounds[place] : bounds[place + 1]].tolist()
            assert ids[-1] == 0
            assert tokenizer.decode(ids[:-1], skip_special_tokens=False) == text
    assert sum(tokens.manifest.sources.values()) == tokens.manifest.tokens == len(tokens.ids)


def test_chats_may_hold_special_tokens(tokenizer: Tokenizer, tmp_path: Path) -> None:
    for end in ("", "<|endoftext|>"):
        chat = {"train": [("tasks", f"<|user|>hi<|assistant|>fn a() {{}}\n{end}")]}
        ids = write_token_file(tmp_path / "x.bin", chat, tokenizer, "a" * 64, special=True).ids
        assert ids[0] == 2
        assert (ids == 3).sum() == (ids == 0).sum() == 1


def test_cut_altered_and_unfinished_files_are_told_apart(tokens: TokenFile) -> None:
    path, manifest = tokens.path, tokens.path.with_suffix(".json")
    whole, described = path.read_bytes(), manifest.read_text()

    path.write_bytes(whole[:-2])
    with pytest.raises(
        TokenFileCorrupt, match=rf"has {len(whole) - 2} bytes, not {len(whole)}.*build the corpus again"
    ):
        TokenFile.open(path)
    path.write_bytes(bytes([whole[0] ^ 1]) + whole[1:])
    with pytest.raises(TokenFileCorrupt, match="was altered"):
        TokenFile.open(path)
    path.write_bytes(whole)
    for damage in (described[:40], described.replace("<u2", "<f8"), described.replace("tokens/1", "tokens/9"), "[]"):
        manifest.write_text(damage)
        with pytest.raises(TokenFileCorrupt, match="not a token manifest"):
            TokenFile.open(path)
    manifest.unlink()
    with pytest.raises(TokenFileError, match="missing"):
        TokenFile.open(path)


def test_another_tokenizer_or_split_is_refused(tokens: TokenFile) -> None:
    assert TokenFile.open(tokens.path, tokenizer_sha256="a" * 64).manifest == tokens.manifest
    with pytest.raises(TokenizerMismatch, match="encoded with tokenizer aaaaaaaaaaaa, not with bbbbbbbbbbbb"):
        TokenFile.open(tokens.path, tokenizer_sha256="b" * 64)
    with pytest.raises(TokenFileError, match="no split 'test', only train, validation"):
        tokens.split("test")


FULL_DISK = """
import resource, sys
from pathlib import Path
from trainer.corpus.errors import WriteFailed
from trainer.corpus.token_file import write_token_file
from trainer.corpus.tokenizer import load_tokenizer
folder = Path(sys.argv[1])
tokenizer = load_tokenizer(folder / "tokenizer")
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
documents = {"train": [("a", f"fn number_{n}() -> u32 {{ {n} }}") for n in range(40_000)]}
try:
    write_token_file(folder / "rust_tokens.bin", documents, tokenizer, "b" * 64)
except WriteFailed as error:
    print(error)
    sys.exit(7)
"""


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tokens: TokenFile, tokenizer: Tokenizer) -> None:
    folder = tokens.path.parent
    (folder / "tokenizer").mkdir()
    tokenizer.save(str(folder / "tokenizer" / "tokenizer.json"))
    before = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(folder)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 7, done.stderr
    assert "File too large. Free some space" in done.stdout
    assert {path: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before
    assert TokenFile.open(tokens.path).manifest.tokenizer_sha256 == "a" * 64


def test_the_manifest_is_plain_json(tokens: TokenFile) -> None:
    described = json.loads(tokens.path.with_suffix(".json").read_text())
    assert described["schema"] == "ferrotype.tokens/1"
    assert described["splits"]["validation"]["end"] == described["tokens"]
