"""Files become documents: licence off, items kept whole, examples standing alone, copies dropped."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from trainer.corpus.document import Document, documents_of, examples_of, strip_license
from trainer.corpus.duplicates import DuplicateFilter
from trainer.corpus.examples import rust_blocks, shorten_docs
from trainer.corpus.sources import SourceFile

SOURCE = """\
// Copyright 2020 Someone. Licensed under MIT.
// See LICENSE.

//! Crate documentation.

use std::fmt;

// A remark about nothing below.

/// Adds one.
///
/// Longer story that would push the code out of a window.
///
/// ```
/// # use std::mem;
/// assert_eq!(demo::inc(1), 2);
/// ```
///
/// ```ignore
/// never();
/// ```
#[inline]
pub fn inc(x: u32) -> u32 {
    x + 1
}

mod inner {
    /// Doubles.
    pub fn double(x: u32) -> u32 {
        x * 2
    }
}
"""


def source(text: str, path: str = "src/lib.rs") -> SourceFile:
    return SourceFile("demo", Path(path), text)


def test_items_keep_summary_attributes_and_neighbours_but_no_licence_nor_imports() -> None:
    (item, example) = documents_of(source(SOURCE), 768)
    assert item == Document(
        "demo",
        "item",
        "/// Adds one.\n#[inline]\npub fn inc(x: u32) -> u32 {\n    x + 1\n}\n\n"
        "/// Doubles.\npub fn double(x: u32) -> u32 {\n    x * 2\n}\n",
    )
    assert example.kind == "example"
    assert example.text == "fn main() {\n    use std::mem;\n    assert_eq!(demo::inc(1), 2);\n}\n"


def test_whole_files_lose_only_their_licence() -> None:
    (document,) = documents_of(source(SOURCE), 0)
    assert document.kind == "file"
    assert document.text.startswith("//! Crate documentation.")
    assert "Longer story" in document.text


def test_a_long_impl_is_cut_between_members_and_each_part_is_whole(tmp_path: Path) -> None:
    members = "\n".join(
        f"    pub fn method_{number}(&self) -> u32 {{\n        self.0 + {number}\n    }}\n" for number in range(30)
    )
    text = f"pub struct Counter<T>(u32, T);\n\nimpl<T> Counter<T>\nwhere\n    T: Clone,\n{{\n{members}}}\n"
    struct, *parts = documents_of(source(text), 400)
    assert len(parts) > 3
    assert sum(part.text.count("pub fn") for part in parts) == 30
    for part in parts:
        assert part.text.startswith("impl<T> Counter<T>\nwhere\n    T: Clone,\n{\n    pub fn method_")
        assert len(part.text) < 500
    whole = tmp_path / "whole.rs"
    whole.write_text("\n".join(part.text for part in (struct, *parts)))
    subprocess.run(
        [
            "rustc",
            "--edition",
            "2021",
            "--crate-type",
            "lib",
            "--emit=metadata",
            "-o",
            str(tmp_path / "out"),
            str(whole),
        ],
        check=True,
        timeout=60,
    )


def test_text_that_is_not_rust_and_items_too_long_to_read_are_left_out() -> None:
    broken = "pub fn ok() -> u8 {\n    1\n}\n\npub fn broken( -> {\n"
    assert all("broken(" not in document.text for document in documents_of(source(broken), 768))
    table = "static TABLE: [u64; 2000] = [" + "1234567, " * 2000 + "];\n"
    assert list(documents_of(source(table), 768)) == []


def test_only_comments_about_licences_are_stripped() -> None:
    assert strip_license("/* SPDX-License-Identifier: MIT */\nfn a() {}\n") == "fn a() {}\n"
    assert strip_license("// What follows is subtle.\nfn a() {}\n").startswith("// What follows")
    assert strip_license("//! Copyright law, explained.\nfn a() {}\n").startswith("//! Copyright")


def test_examples_are_the_programs_that_rustdoc_would_run() -> None:
    text = (
        '```rust,editable\nfn main() {\n    println!("hi");\n}\n```\n\n'
        "```\n# #[derive(Debug)]\n# struct S;\n## not hidden\nlet s = S;\n```\n\n"
        '```compile_fail\nlet x: u8 = "";\n```\n\n```text\nnot rust\n```\n\n'
        "```\n#![feature(box_patterns)]\nlet x = 1;\n```\n"
    )
    with_main, wrapped = rust_blocks(text)
    assert with_main == 'fn main() {\n    println!("hi");\n}\n'
    assert wrapped == "fn main() {\n    #[derive(Debug)]\n    struct S;\n    # not hidden\n    let s = S;\n}\n"
    (document,) = examples_of(source("# Title\n\n```rust\nlet x = 1;\n```\n", "book.md"))
    assert document.text == "fn main() {\n    let x = 1;\n}\n"


def test_module_documentation_is_dropped_but_its_examples_stay() -> None:
    code, examples = shorten_docs("//! Title.\n//!\n//! ```\n//! let a = 1;\n//! ```\n\nfn f() {}\n")
    assert code == "\nfn f() {}\n"
    assert examples == ["fn main() {\n    let a = 1;\n}\n"]


@pytest.mark.parametrize(
    ("text", "new"),
    [
        ("fn a(x: u32) -> u32 {\n        let y = x + 1;\n    y * 2\n}\n", False),
        ("fn a(x: u32) -> u32 {\n    let y = x + 1;\n    y * 3\n}\n", True),
        ("fn b(s: &str) -> usize {\n    s.chars().count()\n}\n", True),
    ],
)
def test_only_white_space_makes_no_new_document(text: str, new: bool) -> None:
    seen = DuplicateFilter()
    assert seen.is_new("fn a(x: u32) -> u32 {\n    let y = x + 1;\n\n    y * 2\n}\n")
    assert seen.is_new(text) is new
    assert seen.exact == (not new)


def test_a_copy_with_one_line_changed_is_a_near_duplicate() -> None:
    lines = [f"    let value_{number} = compute({number});" for number in range(30)]
    seen = DuplicateFilter()
    assert seen.is_new("fn long() {\n" + "\n".join(lines) + "\n}\n")
    lines[10] = "    let value_10 = compute_anew(10);"
    assert not seen.is_new("fn long() {\n" + "\n".join(lines) + "\n}\n")
    assert (seen.exact, seen.near) == (0, 1)
