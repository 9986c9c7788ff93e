"""Gaps: nothing is lost, the same seed cuts the same, and short Rust is cut where people leave something out."""

from __future__ import annotations

from collections import Counter
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from trainer.corpus.gap import SHORT, cut, holes

CODE = (
    "/// Größe of each shape 🦀.\n"
    "pub fn sizes(shapes: &[Shape]) -> Vec<usize> {\n"
    "    let mut found = Vec::new();\n"
    "    for shape in shapes {\n"
    "        found.push(shape.name().len());\n"
    "    }\n"
    "    found\n"
    "}\n"
)


@given(text=st.text(), seed=st.integers())
def test_the_parts_are_the_text_and_one_seed_cuts_one_way(text: str, seed: int) -> None:
    gap = cut(text, Random(seed))
    assert gap.prefix + gap.middle + gap.suffix == text
    assert cut(text, Random(seed)) == gap


def test_short_code_is_cut_at_syntax_at_lines_and_anywhere() -> None:
    gaps = [cut(CODE, Random(seed)) for seed in range(2000)]
    assert all(gap.prefix + gap.middle + gap.suffix == CODE for gap in gaps)
    source = CODE.encode()
    syntax = {source[start:end].decode() for start, end in holes(source)}
    lines = CODE.split("\n")
    kinds: Counter[str] = Counter()
    for gap in gaps:
        whole_lines = gap.prefix.rpartition("\n")[2].strip() == "" and gap.suffix.startswith("\n")
        kinds["syntax" if gap.middle in syntax else "lines" if whole_lines and gap.middle else "anywhere"] += 1
    assert 0.45 < kinds["syntax"] / 2000 < 0.65
    assert 0.15 < kinds["lines"] / 2000 < 0.3
    assert 0.2 < kinds["anywhere"] / 2000 < 0.3
    assert {gap.middle for gap in gaps} >= syntax | {line.strip() for line in lines if line}


def test_a_long_text_is_cut_anywhere() -> None:
    text = CODE * 20
    assert len(text) > SHORT
    starts = Counter(text[len(cut(text, Random(seed)).prefix) :][:1] == "\n" for seed in range(200))
    middles = [len(cut(text, Random(seed)).middle) / len(text) for seed in range(2000)]
    assert 0.3 < sum(middles) / 2000 < 0.37, "two places drawn evenly are a third of the text apart"
    assert starts[False] > 150
