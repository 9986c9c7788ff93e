"""Characters of a string that have a property: counting, keeping, removing, finding and replacing them."""

from __future__ import annotations

from random import Random

from trainer.tasks.family import Draft, family, rust
from trainer.tasks.inputs import CHARACTERS
from trainer.tasks.task import Split
from trainer.tasks.vocabulary import char_class


@family("strings", "chars", "filter", difficulty=0.25)
def count_chars(rng: Random) -> Draft:
    p = char_class(rng)
    return Draft(
        entry=f"count_{p.name}",
        params={"s": "&str"},
        returns="usize",
        docs=(
            f"Counts the {p.noun} in `$s`.",
            f"Returns the number of {p.noun} in `$s`.",
            f"Returns how many {p.noun} `$s` has.",
        ),
        bodies=(
            f"$s.chars().filter(|&c| {p.rust}).count()",
            rust(f"""
                let mut count = 0;
                for c in $s.chars() {{
                    if {p.rust} {{
                        count += 1;
                    }}
                }}
                count
            """),
        ),
        oracle=lambda s: sum(1 for c in s if p.holds(c)),
    )


@family("strings", "chars", "filter", difficulty=0.3)
def keep_chars(rng: Random) -> Draft:
    p = char_class(rng)
    return Draft(
        entry=f"keep_{p.name}",
        params={"s": "&str"},
        returns="String",
        docs=(f"Keeps only the {p.noun} of `$s`.", f"Returns the {p.noun} of `$s`."),
        bodies=(
            f"$s.chars().filter(|&c| {p.rust}).collect()",
            rust(f"""
                let mut out = String::new();
                for c in $s.chars() {{
                    if {p.rust} {{
                        out.push(c);
                    }}
                }}
                out
            """),
        ),
        oracle=lambda s: "".join(c for c in s if p.holds(c)),
    )


@family("strings", "chars", "filter", difficulty=0.3)
def remove_chars(rng: Random) -> Draft:
    p = char_class(rng)
    return Draft(
        entry=f"remove_{p.name}",
        params={"s": "&str"},
        returns="String",
        docs=(f"Removes the {p.noun} from `$s`.", f"Returns `$s` without its {p.noun}."),
        bodies=(f"$s.chars().filter(|&c| {p.negated}).collect()",),
        oracle=lambda s: "".join(c for c in s if not p.holds(c)),
    )


@family("strings", "chars", "logic", difficulty=0.25)
def check_chars(rng: Random) -> Draft:
    p = char_class(rng)
    some = Draft(
        entry=f"has_{p.name}",
        params={"s": "&str"},
        returns="bool",
        docs=(f"Checks whether `$s` has any {p.noun}.", f"Returns true if `$s` has some {p.noun}."),
        bodies=(f"$s.chars().any(|c| {p.rust})",),
        oracle=lambda s: any(map(p.holds, s)),
    )
    only = Draft(
        entry=f"only_{p.name}",
        params={"s": "&str"},
        returns="bool",
        docs=(f"Checks whether `$s` has only {p.noun}.", f"Returns true if all characters of `$s` are {p.noun}."),
        bodies=(f"$s.chars().all(|c| {p.rust})",),
        oracle=lambda s: all(map(p.holds, s)),
        inputs=lambda r: (
            "".join(c for c in CHARACTERS if p.holds(c))[: r.randint(1, 6)] + r.choice(("", "", "x", "7", "Q ")),
        ),
        edges=(("",),),
    )
    return rng.choice((some, only))


@family("strings", "chars", "search", difficulty=0.35)
def index_of_char(rng: Random) -> Draft:
    p = char_class(rng)
    return Draft(
        entry=f"index_of_{p.name}",
        params={"s": "&str"},
        returns="Option<usize>",
        docs=(
            f"Returns the index of the first {p.singular} in `$s`, if any.",
            f"Finds the position of the first {p.singular} in `$s`.",
        ),
        bodies=(f"$s.chars().position(|c| {p.rust})",),
        oracle=lambda s: next((i for i, c in enumerate(s) if p.holds(c)), None),
    )


@family("strings", "chars", difficulty=0.35)
def replace_chars(rng: Random) -> Draft:
    p = char_class(rng)
    mark, word = rng.choice((("*", "a star"), ("_", "an underscore"), ("#", "a hash"), ("?", "a question mark")))
    return Draft(
        entry=f"mask_{p.name}",
        params={"s": "&str"},
        returns="String",
        docs=(f"Replaces the {p.noun} of `$s` with '{mark}'.", f"Returns `$s` with {word} for each of its {p.noun}."),
        bodies=(
            f"$s.chars().map(|c| if {p.rust} {{ '{mark}' }} else {{ c }}).collect()",
            rust(f"""
                let mut out = String::new();
                for c in $s.chars() {{
                    out.push(if {p.rust} {{ '{mark}' }} else {{ c }});
                }}
                out
            """),
        ),
        oracle=lambda s: "".join(mark if p.holds(c) else c for c in s),
    )


@family("strings", "chars", "search", "option", difficulty=0.5, split=Split.UNSEEN_FAMILIES)
def find_char(rng: Random) -> Draft:
    p = char_class(rng)
    word, reverse, step = rng.choice((("first", "", 1), ("last", "rev().", -1)))
    return Draft(
        entry=f"{word}_of_{p.name}",
        params={"s": "&str"},
        returns="Option<char>",
        docs=(f"Returns the {word} {p.singular} in `$s`, if any.", f"Finds the {word} {p.singular} in `$s`."),
        bodies=(f"$s.chars().{reverse}find(|&c| {p.rust})",),
        oracle=lambda s: next((c for c in s[::step] if p.holds(c)), None),
    )


FAMILIES = (
    count_chars, keep_chars, remove_chars, check_chars, index_of_char, replace_chars, find_char,
)  # fmt: skip
