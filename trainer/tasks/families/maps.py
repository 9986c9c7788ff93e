"""Counting occurrences in a HashMap."""

from __future__ import annotations

from collections import Counter
from random import Random

from trainer.tasks.family import Draft, family, rust
from trainer.tasks.vocabulary import INTEGERS, predicate


@family("maps", "loop", difficulty=0.55)
def tally_numbers(rng: Random) -> Draft:
    t = rng.choice(INTEGERS)
    p = predicate(rng, t)
    filtered = rng.random() < 0.6
    noun = p.of("element of `$xs`") if filtered else "element of `$xs`"
    count = "*counts.entry(x).or_insert(0) += 1;"
    step = f"if {p.rust} {{\n    {count}\n}}" if filtered else count
    return Draft(
        f"{p.name}_counts" if filtered else "element_counts",
        params={"xs": f"&[{t}]"},
        returns=f"std::collections::HashMap<{t}, usize>",
        docs=(f"Counts how often each {noun} occurs.", f"Returns a map from each {noun} to its count."),
        bodies=(_loop("x", "$xs.iter().copied()", step),),
        oracle=lambda xs: dict(Counter(x for x in xs if p.holds(x) or not filtered)),
        near=p.near,
    )


@family("maps", "strings", "loop", difficulty=0.5)
def tally_text(rng: Random) -> Draft:
    returns = "std::collections::HashMap<{}, usize>"
    step = "*counts.entry({}).or_insert(0) += 1;"
    return rng.choice(
        (
            Draft(
                "char_counts",
                params={"s": "&str"},
                returns=returns.format("char"),
                docs=(
                    "Counts how often each character of `$s` occurs.",
                    "Returns a map from each character of `$s` to its count.",
                ),
                bodies=(_loop("c", "$s.chars()", step.format("c")),),
                oracle=lambda s: dict(Counter(s)),
            ),
            Draft(
                "word_counts",
                params={"s": "&str"},
                returns=returns.format("String"),
                docs=(
                    "Counts how often each word of `$s` occurs.",
                    "Returns a map from each word of `$s` to its count.",
                ),
                bodies=(_loop("w", "$s.split_whitespace()", step.format("w.to_string()")),),
                oracle=lambda s: dict(Counter(s.split())),
            ),
            Draft(
                "length_counts",
                params={"s": "&str"},
                returns=returns.format("usize"),
                docs=("Counts how often each length occurs among the words of `$s`.",),
                bodies=(_loop("w", "$s.split_whitespace()", step.format("w.len()")),),
                oracle=lambda s: dict(Counter(map(len, s.split()))),
            ),
        )
    )


def _loop(variable: str, source: str, step: str) -> str:
    return rust(f"""
        let mut counts = std::collections::HashMap::new();
        for {variable} in {source} {{
            {step.replace(chr(10), chr(10) + " " * 12)}
        }}
        counts
    """)


FAMILIES = (tally_numbers, tally_text)
