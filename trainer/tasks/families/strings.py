"""Strings as characters: counting, keeping, removing, finding and replacing them."""

from __future__ import annotations

from random import Random

from trainer.tasks.family import Draft, family, rust
from trainer.tasks.inputs import CHARACTERS, text
from trainer.tasks.vocabulary import char_class


@family("strings", "chars", "filter", difficulty=0.25)
def count_chars(rng: Random) -> Draft:
    p = char_class(rng)
    return Draft(
        entry=f"count_{p.name}",
        params={"s": "&str"},
        returns="usize",
        docs=(f"Counts the {p.noun} in `$s`.", f"Returns the number of {p.noun} in `$s`.", f"Returns how many {p.noun} `$s` has."),
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
    )  # fmt: skip


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
        inputs=lambda r: ("".join(c for c in CHARACTERS if p.holds(c))[: r.randint(1, 6)] + r.choice(("", "", "x", "7", "Q ")),),
        edges=(("",),),
    )  # fmt: skip
    return rng.choice((some, only))


@family("strings", "chars", "search", difficulty=0.35)
def index_of_char(rng: Random) -> Draft:
    p = char_class(rng)
    return Draft(
        entry=f"index_of_{p.name}",
        params={"s": "&str"},
        returns="Option<usize>",
        docs=(f"Returns the index of the first {p.singular} in `$s`, if any.", f"Finds the position of the first {p.singular} in `$s`."),
        bodies=(f"$s.chars().position(|c| {p.rust})",),
        oracle=lambda s: next((i for i, c in enumerate(s) if p.holds(c)), None),
    )  # fmt: skip


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


@family("strings", "chars", "search", "option", difficulty=0.5, unseen=True)
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


@family("strings", difficulty=0.2)
def whole_string(rng: Random) -> Draft:
    name, docs, returns, bodies, oracle = rng.choice(
        (
            ("reverse", ("Reverses `$s`.", "Returns the characters of `$s` in reverse order."), "String", ("$s.chars().rev().collect()",), lambda s: s[::-1]),
            ("to_upper", ("Converts `$s` to upper case.", "Returns `$s` in upper case."), "String", ("$s.to_uppercase()",), str.upper),
            ("to_lower", ("Converts `$s` to lower case.", "Returns `$s` in lower case."), "String", ("$s.to_lowercase()",), str.lower),
            ("trimmed", ("Removes the spaces around `$s`.", "Returns `$s` without leading and trailing spaces."), "String", ("$s.trim().to_string()",), str.strip),
            ("length", ("Returns the number of characters in `$s`.", "Counts the characters of `$s`."), "usize", ("$s.chars().count()",), len),
            ("is_blank", ("Checks whether `$s` has only spaces.", "Returns true if `$s` is empty after trimming."), "bool", ("$s.trim().is_empty()",), lambda s: not s.strip()),
            ("double", ("Returns `$s` twice in a row.", "Repeats `$s` two times."), "String", ("$s.repeat(2)",), lambda s: s + s),
            ("is_palindrome", ("Checks whether `$s` is a palindrome.", "Returns true if `$s` reads the same backwards."), "bool", ("$s.chars().eq($s.chars().rev())", "let reversed: String = $s.chars().rev().collect();\nreversed == $s"), lambda s: s == s[::-1]),
            ("is_upper", ("Checks whether `$s` equals its upper case.", "Returns true if `$s` is all upper case."), "bool", ("$s == $s.to_uppercase()",), lambda s: s == s.upper()),
            ("char_list", ("Returns the characters of `$s` as a vector.", "Collects the characters of `$s`."), "Vec<char>", ("$s.chars().collect()",), list),
            ("without_ends", ("Removes the first and the last character of `$s`.", "Returns `$s` without its first and last character."), "String", ("let n = $s.chars().count();\n$s.chars().take(n.saturating_sub(1)).skip(1).collect()",), lambda s: s[1:-1]),
        )
    )  # fmt: skip
    return Draft(
        entry=name,
        params={"s": "&str"},
        returns=returns,
        docs=docs,
        bodies=bodies,
        oracle=oracle,
        inputs=lambda r: (r.choice(("noon", " level", "radar ", "ABC", "   ", text(r), text(r), text(r))),),
        edges=(("",),),
    )


@family("strings", "chars", "option", difficulty=0.3)
def char_at(rng: Random) -> Draft:
    k, ordinal = rng.choice(((1, "second"), (2, "third"), (3, "fourth"), (4, "fifth")))
    name, words, body, pick = rng.choice(
        (
            ("first_char", "first character of `$s`", "$s.chars().next()", lambda s: s[:1]),
            ("last_char", "last character of `$s`", "$s.chars().last()", lambda s: s[-1:]),
            (f"{ordinal}_char", f"{ordinal} character of `$s`", f"$s.chars().nth({k})", lambda s: s[k : k + 1]),
            (f"{ordinal}_last_char", f"{ordinal} character from the end of `$s`", f"$s.chars().rev().nth({k})", lambda s: s[::-1][k : k + 1]),
            ("first_upper", "first character of `$s` in upper case", "$s.chars().next().map(|c| c.to_ascii_uppercase())", lambda s: s[:1].upper()),
            ("last_upper", "last character of `$s` in upper case", "$s.chars().last().map(|c| c.to_ascii_uppercase())", lambda s: s[-1:].upper()),
            ("smallest_char", "smallest character of `$s`", "$s.chars().min()", lambda s: min(s, default="")),
            ("largest_char", "largest character of `$s`", "$s.chars().max()", lambda s: max(s, default="")),
        )
    )  # fmt: skip
    return Draft(
        entry=name,
        params={"s": "&str"},
        returns="Option<char>",
        docs=(f"Returns the {words}, if any.", f"Returns the {words}, or `None`.", f"Finds the {words}."),
        bodies=(body,),
        oracle=lambda s: pick(s) or None,
    )


FAMILIES = (
    count_chars, keep_chars, remove_chars, check_chars, index_of_char, replace_chars, find_char, whole_string, char_at,
)  # fmt: skip
