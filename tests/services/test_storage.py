"""A run's copy on storage: what is there at any instant is a run that can go on, and two runs never mix."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from object_store import KEYS, object_store
from pyarrow import fs

from services import publisher
from services.errors import StorageError, TakenOver
from services.run_folder import RunFolder
from services.storage import Storage

RL = "checkpoints/production-rl"


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    before = {name: os.environ.get(name) for name in KEYS}
    os.environ.update(KEYS)
    with object_store("runs") as ending:
        yield f"s3://runs/{{}}{ending}"
    for name, value in before.items():
        os.environ.pop(name) if value is None else os.environ.update({name: value})


@pytest.fixture(params=["file", "s3"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Of an empty place, on a shared disk and in an object store."""
    if request.param == "file":
        return f"file://{tmp_path}/storage/run"
    return str(request.getfixturevalue("s3")).format(tmp_path.name)


def a_run(root: Path, *steps: int) -> Path:
    _write(root / "config.toml", "seed = 0")
    _write(root / "metrics.jsonl", "{}\n" * 100)
    _write(root / "state" / "corpus.json", "{}")
    for step in steps:
        a_checkpoint(root, step)
    return root


def a_checkpoint(root: Path, step: int) -> None:
    folder = root / RL / f"rl-iter-{step}"
    _write(folder / "training" / "state.pt", f"state {step} " * 1000)
    _write(folder / "manifest.json", "{}")


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def contents(root: Path) -> dict[str, bytes]:
    paths = (path for path in root.rglob("*") if path.is_file() and not path.name.startswith("."))
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in paths}


def test_a_run_comes_back_as_it_was_sent(url: str, tmp_path: Path) -> None:
    here = a_run(tmp_path / "here", 1, 2)
    _write(here / "run.lock", "1")
    _write(here / RL / ".rl-iter-3.partial" / "model.safetensors", "half of it")
    storage = Storage(url, here)
    assert not storage.take()
    assert storage.publish() == 7
    assert storage.publish() == 0, "nothing changed"
    assert Storage(url, tmp_path / "there").take()
    kept = {name: content for name, content in contents(here).items() if name != "run.lock" and ".partial" not in name}
    assert contents(tmp_path / "there") == kept


def test_what_a_run_appends_and_deletes_follows(url: str, tmp_path: Path) -> None:
    here = a_run(tmp_path / "here", 1)
    storage = Storage(url, here)
    storage.take()
    storage.publish()
    a_checkpoint(here, 2)
    for path in sorted((here / RL / "rl-iter-1").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    (here / RL / "rl-iter-1").rmdir()
    with (here / "metrics.jsonl").open("a") as file:
        file.write("{}\n")
    assert storage.publish() == 3
    Storage(url, tmp_path / "there").take()
    assert contents(tmp_path / "there") == contents(here)


def test_the_same_folder_started_again_sends_no_checkpoint_again(url: str, tmp_path: Path) -> None:
    here = a_run(tmp_path / "here", 1)
    first = Storage(url, here)
    first.take()
    first.publish()
    again = Storage(url, here)
    assert not again.take()
    assert again.publish() == 3, "configuration, metrics and state"


def test_a_checkpoint_without_its_manifest_is_not_there(tmp_path: Path) -> None:
    stored = a_run(tmp_path / "storage", 1)
    _write(stored / RL / "rl-iter-2" / "model.safetensors", "sent before the machine died")
    _write(stored / "owner.json", '{"owner": "it"}')
    there = tmp_path / "there"
    assert Storage(f"file://{stored}", there).take()
    assert sorted(path.name for path in (there / RL).iterdir()) == ["rl-iter-1"]


def test_of_two_runs_on_one_storage_the_older_stops(url: str, tmp_path: Path) -> None:
    old = Storage(url, a_run(tmp_path / "old", 1))
    old.take()
    old.publish()
    new = Storage(url, tmp_path / "new")
    new.take()
    a_checkpoint(tmp_path / "old", 9)
    with pytest.raises(TakenOver, match="another run has taken over"):
        old.publish()
    with pytest.raises(StorageError, match=r"has gone on elsewhere.*empty --run-dir"):
        Storage(url, tmp_path / "old").take()
    assert Storage(url, tmp_path / "third").take()
    assert not (tmp_path / "third" / RL / "rl-iter-9").exists()


@pytest.mark.parametrize("url", ["ftp://x/y", "s3:/x", "nonsense"])
def test_a_url_that_is_none_is_refused_in_words(url: str, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"can't be used.*s3://bucket/folder"):
        Storage(url, tmp_path)


def test_a_bucket_that_is_not_there_is_refused_in_words(s3: str, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="bucket does not exist"):
        Storage(s3.replace("s3://runs", "s3://no-such-bucket").format("x"), a_run(tmp_path)).take()


def test_a_run_is_sent_while_it_goes_on_and_at_its_end(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher, "INTERVAL_SECONDS", 0.05)
    here, said = RunFolder(tmp_path / "here"), []
    a_run(here.root)
    with publisher.stored(url, here, said.append):
        a_checkpoint(here.root, 1)
        deadline = time.monotonic() + 60
        while not _is_stored(url, f"{RL}/rl-iter-1/manifest.json"):
            assert time.monotonic() < deadline, said
            time.sleep(0.05)
        _write(here.root / "state" / "rl.json", "{}")
    assert _is_stored(url, "state/rl.json")
    assert said == [f"storage {url}: the run is kept there"]


def _is_stored(url: str, name: str) -> bool:
    store, base = fs.FileSystem.from_uri(url)
    return store.get_file_info(f"{base}/{name}").type == fs.FileType.File
