"""A small crate's doc-tested functions become tasks that the real farm has proved; others are dropped with a reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from reward_farm.judge import Judge
from reward_farm.settings import FarmSettings
from trainer.mining.crate import rust_files
from trainer.mining.doc_test import doc_test, statements
from trainer.mining.errors import NothingToMine
from trainer.mining.mine import METHOD, Mined, mine

CRATE = """
const STEP: i32 = 2;

fn twice(x: i32) -> i32 {
    x * STEP
}

/// Doubles a number.
///
/// # Examples
///
/// ```
/// use small::double;
/// assert_eq!(double(4), 8);
/// ```
pub fn double(x: i32) -> i32 {
    twice(x)
}

/// Triples a number, wrongly.
///
/// ```
/// assert_eq!(small::triple(4), 12);
/// ```
pub fn triple(x: i32) -> i32 {
    x
}

pub struct Counter(u32);

impl Counter {
    /// Its count.
    ///
    /// ```
    /// assert_eq!(small::Counter::new().count(), 0);
    /// ```
    pub fn count(&self) -> u32 {
        self.0
    }
}

/// Needs another file.
///
/// ```
/// assert_eq!(small::elsewhere(), 1);
/// ```
pub fn elsewhere() -> i32 {
    crate::other::one()
}
"""


@pytest.fixture
def crate(tmp_path: Path) -> Path:
    folder = tmp_path / "small-0.1.0"
    (folder / "src").mkdir(parents=True)
    (folder / "src" / "lib.rs").write_text(CRATE)
    (folder / "Cargo.toml").write_text('[package]\nname = "small"\n')
    return folder


def test_functions_are_kept_only_when_proved(crate: Path) -> None:
    with Judge(FarmSettings(cache_size=0)) as first, Judge(FarmSettings(cache_size=0)) as second:
        fates = {each.name: each for each in mine(rust_files(crate), crate, first.judge, second.judge, lambda: None)}
        task = fates["double"].task
        assert task is not None
        assert fates["double"].properties > 2
        assert task.prompt == "/// Doubles a number.\npub fn double(x: i32) -> i32 {"
        assert "assert" not in task.prompt + task.instruction
    assert {name: fate.task is None for name, fate in fates.items()} == {
        "double": False, "triple": True, "count": True, "elsewhere": True
    }  # fmt: skip
    assert fates["count"].reason == METHOD
    assert fates["triple"].reason == "its examples don't hold"
    assert fates["elsewhere"].reason == "it does not compile on its own"
    assert isinstance(fates["elsewhere"], Mined)


def test_a_folder_without_sources_says_so(tmp_path: Path) -> None:
    with pytest.raises(NothingToMine, match=r"no \.rs files"):
        rust_files(tmp_path)


def test_examples_are_hidden_and_call_the_bare_name() -> None:
    doc = doc_test(["Adds.", "", "# Examples", "", "```", "# use a::add;", "assert_eq!(a::m::add(1), 2);", "```"])
    assert doc.prose == ("Adds.",)
    assert statements(doc.examples[0], "add", "a") == "assert_eq!(add(1), 2);"
    assert statements("use a::{add, Other};\nassert_eq!(add(Other), 1);", "add", "a") is None
    assert doc_test(["```no_run", "assert!(f());", "```"]).examples == ()
