"""The stage as a whole, on real crates: split by crate, repeatable, with clear errors; and one package from Debian."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from trainer.corpus.build import build_corpus
from trainer.corpus.debian import fetch_packages
from trainer.corpus.errors import SourceUnavailable
from trainer.corpus.settings import DEFAULT_PACKAGES, CorpusSettings
from trainer.corpus.sources import Skipped, read_sources
from trainer.corpus.split import validation_crates
from trainer.corpus.token_file import TokenFile
from trainer.corpus.tokenizer import load_tokenizer, tokenizer_sha256


def texts(tokens: TokenFile, split: str, directory: Path) -> set[str]:
    """All documents of a split as text."""
    view, tokenizer = tokens.split(split), load_tokenizer(directory)
    bounds = view.document_bounds
    rows = [view.ids[start : end - 1].tolist() for start, end in pairwise(bounds)]
    return set(tokenizer.decode_batch(rows, skip_special_tokens=False))


def test_crates_become_tokens_split_by_crate(settings: CorpusSettings, tmp_path: Path) -> None:
    steps: list[tuple[int, int, str]] = []
    solved = ["<|user|>Add.<|assistant|>pub fn add(a: u32, b: u32) -> u32 {\n    a + b\n}\n"] * 20
    out = tmp_path / "data"
    report = build_corpus(settings, out, extra_documents=solved, progress=lambda *step: steps.append(step))

    tokens = TokenFile.open(out / "rust_tokens.bin", tokenizer_sha256=tokenizer_sha256(report.tokenizer_dir))
    train, validation = (texts(tokens, split, report.tokenizer_dir) for split in ("train", "validation"))
    assert train and validation and not train & validation
    held_out = {f"crate-{seed}" for seed in range(1, 7) if any(f"way {seed}-" in text for text in validation)}
    assert held_out == set(report.validation_crates)
    assert not any(f"way {crate.removeprefix('crate-')}-" in text for crate in held_out for text in train)

    assert report.tokens == report.train_tokens + report.validation_tokens == sum(report.tokens_by_crate.values())
    assert set(report.tokens_by_crate) == {f"crate-{seed}" for seed in range(1, 7)}
    assert report.extra_tokens == TokenFile.open(out / "task_tokens.bin").manifest.tokens
    assert sum(report.documents.values()) == len(train) + len(validation)
    assert {what for _, _, what in steps} >= {"reading files", "encoding rust_tokens.bin"}
    assert all(0 <= done <= total for done, total, _ in steps)
    assert sorted(path.name for path in out.iterdir()) == [
        "corpus.json", "rust_tokens.bin", "rust_tokens.json", "task_tokens.bin", "task_tokens.json", "tokenizer",
    ]  # fmt: skip


def test_the_same_sources_give_the_same_bytes(settings: CorpusSettings, tmp_path: Path) -> None:
    for name, hash_seed in (("one", "1"), ("two", "2")):
        code = (
            "import sys; from pathlib import Path; from trainer.corpus.build import build_corpus; "
            "from trainer.corpus.settings import CorpusSettings; "
            "build_corpus(CorpusSettings.model_validate_json(sys.argv[1]), Path(sys.argv[2]))"
        )
        subprocess.run(
            [sys.executable, "-c", code, settings.model_dump_json(), str(tmp_path / name)],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            check=True,
            timeout=60,
        )
    for file in ("rust_tokens.bin", "rust_tokens.json", "tokenizer/tokenizer.json"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_copies_of_a_crate_are_dropped(
    settings: CorpusSettings, crates: Path, tmp_path: Path, make_crate: Callable[..., Path]
) -> None:
    once = build_corpus(settings, tmp_path / "once")
    make_crate(crates, "vendored-copy", seed=1)
    twice = build_corpus(settings, tmp_path / "twice")
    assert twice.files == once.files + 1
    assert twice.tokens == once.tokens
    assert twice.duplicates_exact > 0
    assert "vendored-copy" not in twice.tokens_by_crate


def test_a_folder_without_rust_says_what_where_and_what_to_do(settings: CorpusSettings, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "notes.txt").write_text("nothing")
    for folder, message in (
        (empty, rf"{empty} holds no \.rs file.*Name a folder"),
        (tmp_path / "missing", "missing does not exist"),
    ):
        with pytest.raises(SourceUnavailable, match=message):
            build_corpus(settings.model_copy(update={"folders": (folder,)}), tmp_path / "out")
    (empty / "latin.rs").write_bytes(b"// caf\xe9\nfn a() {}\n")
    with pytest.raises(SourceUnavailable, match=r"only files that can't be used \(1 not UTF-8\)"):
        build_corpus(settings.model_copy(update={"folders": (empty,)}), tmp_path / "out")
    with pytest.raises(SourceUnavailable, match=r"Set corpus\.packages or corpus\.folders"):
        build_corpus(settings.model_copy(update={"folders": ()}), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_unusable_files_are_counted_not_fatal(tmp_path: Path, make_crate: Callable[..., Path]) -> None:
    crate = make_crate(tmp_path, "mixed", seed=1)
    source = crate / "src"
    (source / "big.rs").write_text("// x\n" * 100_000)
    (source / "made.rs").write_text("// This file is @generated by a tool.\nfn a() {}\n")
    (source / "packed.rs").write_text("fn a() { " + "x();" * 1000 + " }\n")
    (source / "bytes.rs").write_bytes(b"\xff\xfe")
    (source / "empty.rs").write_text("\n")
    (source / "link.rs").symlink_to(source / "lib.rs")
    (crate / "target").mkdir()
    (crate / "target" / "built.rs").write_text("fn built() {}\n")
    skipped = Skipped()
    files = read_sources([tmp_path], skipped)
    assert [(file.crate, file.path.name) for file in files] == [("mixed", "lib.rs")]
    assert skipped.counts == {"too large": 1, "generated": 2, "not UTF-8": 1, "empty": 1}

    limited = Skipped()
    assert read_sources([tmp_path], limited, max_bytes=100) == []
    assert limited.counts["over the size limit"] == 1


def test_one_crate_alone_has_nothing_to_hold_out_and_the_report_says_so(
    settings: CorpusSettings, tmp_path: Path, make_crate: Callable[..., Path]
) -> None:
    crate = make_crate(tmp_path / "single", "alone", seed=9, number=200)
    alone = settings.model_copy(update={"folders": (crate,), "token_target": 10**9})
    report = build_corpus(alone, tmp_path / "out")
    assert report.validation_tokens == 0
    assert any("at least two crates" in note for note in report.notes)
    assert any("fewer than the target" in note for note in report.notes)


def test_the_split_depends_on_names_and_sizes_alone() -> None:
    sizes = {f"crate-{number}": 100 + number for number in range(100)}
    held = validation_crates(sizes, 0.05)
    assert held == validation_crates(dict(reversed(sizes.items())), 0.05)
    assert 0.03 < sum(sizes[name] for name in held) / sum(sizes.values()) <= 0.05
    assert validation_crates({"small": 1, "large": 100}, 0.001) == {"small"}
    assert validation_crates({"only": 1}, 0.5) == validation_crates(sizes, 0.0) == frozenset()


def online() -> bool:
    """Whether Debian's packages can be asked for here."""
    done = subprocess.run(
        ["apt-get", "download", "--print-uris", "librust-either-dev"], capture_output=True, timeout=30, check=False
    )
    return done.returncode == 0


def test_a_debian_package_is_fetched_once_and_cached_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not online():
        pytest.skip("Debian's mirrors can't be reached")
    cache = tmp_path / "cache"
    for left in (".download/old.deb", ".librust-either-dev.x1y2/usr/half.rs"):
        (cache / left).parent.mkdir(parents=True)
        (cache / left).write_text("left by a killed run")
    first = fetch_packages(["librust-either-dev"], cache)
    files = read_sources([first.folders["librust-either-dev"]], Skipped())
    assert {file.crate for file in files} == {"either"}
    assert any("enum Either<L, R>" in file.text for file in files)
    assert {path.name for path in cache.iterdir()} - {".apt"} == {"librust-either-dev", ".lock"}
    kept = [path for path in first.folders["librust-either-dev"].rglob("*") if path.is_file()]
    assert {path.suffix for path in kept} == {".rs", ".toml"}

    monkeypatch.setenv("PATH", "/nonexistent")
    again = fetch_packages(["librust-either-dev"], cache)
    assert (again.cached, again.folders) == (1, first.folders)


def test_without_apt_or_network_the_message_says_what_to_do(
    settings: CorpusSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_packages = settings.model_copy(update={"packages": DEFAULT_PACKAGES[:2]})
    sources, conf = tmp_path / "sources.list", tmp_path / "apt.conf"
    conf.write_text(f'Dir::Etc::sourcelist "{sources}";\nDir::Etc::sourceparts "/dev/null";\n')
    for line, message in (
        ("deb [trusted=yes] http://127.0.0.1:9/debian stable main", r"apt-get update failed.*Check the network"),
        ("", r"apt-get knows none of the crate packages.*Check /etc/apt/sources\.list"),
    ):
        sources.write_text(line)
        with monkeypatch.context() as patch:
            patch.setenv("APT_CONFIG", str(conf))
            with pytest.raises(SourceUnavailable, match=rf"{message}.*corpus\.folders"):
                build_corpus(with_packages, tmp_path / "out")
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(SourceUnavailable, match=r"apt-get is not on PATH.*corpus\.folders"):
        build_corpus(with_packages, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert not list(settings.cache.glob("librust*"))


def test_a_package_name_of_the_users_that_does_not_exist_is_an_error(settings: CorpusSettings, tmp_path: Path) -> None:
    if not online():
        pytest.skip("Debian's mirrors can't be reached")
    with pytest.raises(SourceUnavailable, match=r"no package librust-no-such-crate-dev.*correct corpus\.packages"):
        build_corpus(settings.model_copy(update={"packages": ("librust-no-such-crate-dev",)}), tmp_path / "out")
