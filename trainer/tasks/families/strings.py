"""Strings as wholes: case, trimming, repeating, their ends, prefixes and suffixes."""

from __future__ import annotations

from functools import partial
from random import Random

from trainer.tasks.family import Draft, Variant, family
from trainer.tasks.inputs import text
from trainer.tasks.vocabulary import CHAR_CLASSES


@family("strings", difficulty=0.2)
def change_string(rng: Random) -> Draft:
    draft = partial(Draft, params={"s": "&str"}, returns="String")
    return rng.choice(
        (
            draft(
                "reverse",
                docs=("Reverses `$s`.", "Returns `$s` reversed.", "Returns the characters of `$s` in reverse order."),
                bodies=("$s.chars().rev().collect()",),
                oracle=lambda s: s[::-1],
            ),
            draft(
                "to_upper",
                docs=("Converts `$s` to upper case.", "Returns `$s` in upper case."),
                bodies=("$s.to_uppercase()",),
                oracle=str.upper,
            ),
            draft(
                "to_lower",
                docs=("Converts `$s` to lower case.", "Returns `$s` in lower case."),
                bodies=("$s.to_lowercase()",),
                oracle=str.lower,
            ),
            draft(
                "trimmed",
                docs=("Removes the spaces around `$s`.", "Returns `$s` without leading and trailing spaces."),
                bodies=("$s.trim().to_string()",),
                oracle=str.strip,
            ),
            draft(
                "reverse_upper",
                docs=("Reverses `$s` and converts it to upper case.", "Returns `$s` reversed and in upper case."),
                bodies=("$s.to_uppercase().chars().rev().collect()",),
                oracle=lambda s: s[::-1].upper(),
            ),
            draft(
                "reverse_lower",
                docs=("Reverses `$s` and converts it to lower case.", "Returns `$s` reversed and in lower case."),
                bodies=("$s.to_lowercase().chars().rev().collect()",),
                oracle=lambda s: s[::-1].lower(),
            ),
        )
    )


@family("strings", "logic", difficulty=0.25)
def check_string(rng: Random) -> Draft:
    k = rng.randint(2, 6)
    draft = partial(
        Draft,
        params={"s": "&str"},
        returns="bool",
        inputs=lambda r: (r.choice(("noon", " level", "radar", "ABC", "  ", "x" * r.randint(k - 1, k + 1), text(r))),),
        edges=(("",),),
    )
    return rng.choice(
        (
            draft(
                "is_blank",
                docs=("Checks whether `$s` has only spaces.", "Returns true if `$s` is empty after trimming."),
                bodies=("$s.trim().is_empty()",),
                oracle=lambda s: not s.strip(),
            ),
            draft(
                "is_palindrome",
                docs=("Checks whether `$s` is a palindrome.", "Returns true if `$s` reads the same backwards."),
                bodies=(
                    "$s.chars().eq($s.chars().rev())",
                    "let reversed: String = $s.chars().rev().collect();\nreversed == $s",
                ),
                oracle=lambda s: s == s[::-1],
            ),
            draft(
                "is_upper",
                docs=("Checks whether `$s` equals its upper case.", "Returns true if `$s` has no lower case."),
                bodies=("$s == $s.to_uppercase()",),
                oracle=lambda s: s == s.upper(),
            ),
            draft(
                f"longer_than_{k}",
                docs=(
                    f"Checks whether `$s` has more than {k} characters.",
                    f"Returns true if `$s` is longer than {k} characters.",
                ),
                bodies=(f"$s.chars().count() > {k}",),
                oracle=lambda s: len(s) > k,
            ),
            draft(
                f"shorter_than_{k}",
                docs=(
                    f"Checks whether `$s` has fewer than {k} characters.",
                    f"Returns true if `$s` is shorter than {k} characters.",
                ),
                bodies=(f"$s.chars().count() < {k}",),
                oracle=lambda s: len(s) < k,
            ),
        )
    )


@family("strings", "option", difficulty=0.3)
def char_at(rng: Random) -> Draft:
    index, ordinal = rng.choice(((1, "second"), (2, "third"), (3, "fourth"), (4, "fifth")))
    place = rng.choice(
        (
            Variant("first", "first", "next()", lambda s: s[:1]),
            Variant("last", "last", "last()", lambda s: s[-1:]),
            Variant("smallest", "smallest", "min()", lambda s: sorted(s)),
            Variant("largest", "largest", "max()", lambda s: sorted(s, reverse=True)),
            Variant(ordinal, ordinal, f"nth({index})", lambda s: s[index:]),
            Variant(f"{ordinal}_last", f"{ordinal} last", f"rev().nth({index})", lambda s: s[::-1][index:]),
        )
    )
    case = rng.choice(
        (
            Variant("char", "", "", str),
            Variant("upper", " in upper case", ".map(|c| c.to_ascii_uppercase())", str.upper),
            Variant("lower", " in lower case", ".map(|c| c.to_ascii_lowercase())", str.lower),
        )
    )
    what = f"the {place.words} character of `$s`{case.words}"
    return Draft(
        f"{place.name}_{case.name}",
        params={"s": "&str"},
        returns="Option<char>",
        docs=(f"Returns {what}, if any.", f"Returns {what}, or `None`."),
        bodies=(f"$s.chars().{place.rust}{case.rust}",),
        oracle=lambda s: next(map(case.apply, place.apply(s)), None),
    )


@family("strings", "parts", difficulty=0.3)
def string_part(rng: Random) -> Draft:
    """The amount is a number in the doc comment, or a parameter."""
    k = rng.randint(2, 5)
    fixed = rng.random() < 0.7
    amount, words, suffix = (f"{k}", f"{k}", f"_{k}") if fixed else ("$count", "`$count`", "")
    part = rng.choice(
        (
            Variant(
                "take_chars", "the first {} characters of `$s`", "$s.chars().take({}).collect()", lambda s, k: s[:k]
            ),
            Variant(
                "skip_chars",
                "`$s` without its first {} characters",
                "$s.chars().skip({}).collect()",
                lambda s, k: s[k:],
            ),
            Variant(
                "step_chars", "`$s` in steps of {} characters", "$s.chars().step_by({}).collect()", lambda s, k: s[::k]
            ),
            Variant("repeat", "`$s` repeated {} times", "$s.repeat({})", lambda s, k: s * k),
        )
    )
    what = part.words.format(words)
    return Draft(
        f"{part.name}{suffix}",
        params={"s": "&str"} if fixed else {"s": "&str", "count": "usize"},
        returns="String",
        docs=(f"Returns {what}.", f"Gives {what}."),
        bodies=(part.rust.format(amount),),
        oracle=lambda s, count=k: part.apply(s, count),
        inputs=lambda r: (text(r),) if fixed else (text(r), r.randint(1, 4)),
        edges=(("",) if fixed else ("", 2),),
    )


@family("strings", "format", difficulty=0.25)
def affix(rng: Random) -> Draft:
    mark = rng.choice(("!", "?", "-", "_", "*", "#", "+", "."))
    way = rng.choice(
        (
            Variant("prepend", f"`$s` with '{mark}' in front", f"{mark}{{$s}}", lambda s: mark + s),
            Variant("append", f"`$s` with '{mark}' at the end", f"{{$s}}{mark}", lambda s: s + mark),
            Variant("surround", f"`$s` between two '{mark}'", f"{mark}{{$s}}{mark}", lambda s: mark + s + mark),
            Variant("twice_with", f"`$s` twice, with '{mark}' between", f"{{$s}}{mark}{{$s}}", lambda s: s + mark + s),
        )
    )
    return Draft(
        way.name,
        params={"s": "&str"},
        returns="String",
        docs=(f"Returns {way.words}.", f"Writes {way.words}.", f"Formats {way.words}."),
        bodies=(f'format!("{way.rust}")',),
        oracle=way.apply,
    )


@family("strings", "chars", "logic", difficulty=0.35)
def end_is(rng: Random) -> Draft:
    """What `has_digits` and `first_char` teach, together."""
    p = rng.choice(CHAR_CLASSES)
    end = rng.choice(
        (
            Variant("first", "the first character of `$s`", "next()", lambda s: s[:1]),
            Variant("last", "the last character of `$s`", "last()", lambda s: s[-1:]),
        )
    )
    what = f"{end.words} is {p.one}"
    return Draft(
        f"{end.name}_is_{p.name}",
        params={"s": "&str"},
        returns="bool",
        docs=(f"Checks whether {what}.", f"Returns true if {what}."),
        bodies=(f"$s.chars().{end.rust}.is_some_and(|c| {p.rust})",),
        oracle=lambda s: any(map(p.holds, end.apply(s))),
    )


FAMILIES = (change_string, check_string, char_at, string_part, affix, end_is)
