"""Words of a text, and slices of strings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

from trainer.tasks.family import Arguments, Draft, Variant, family
from trainer.tasks.task import Split
from trainer.tasks.vocabulary import Predicate


def word_property(rng: Random) -> Predicate:
    """A property of a word `w`."""
    k = rng.randint(2, 6)
    c = rng.choice("abcdort")
    longer, shorter = f"longer than {k}", f"shorter than {k}"
    return rng.choice(
        (
            Predicate(f"longer_than_{k}", longer, f"w.len() > {k}", f"w.len() <= {k}", lambda w: len(w) > k),
            Predicate(f"shorter_than_{k}", shorter, f"w.len() < {k}", f"w.len() >= {k}", lambda w: len(w) < k),
            _letter(f"starting_with_{c}", f"starting with '{c}'", f"w.starts_with('{c}')", lambda w: w[:1] == c),
            _letter(f"ending_with_{c}", f"ending with '{c}'", f"w.ends_with('{c}')", lambda w: w[-1:] == c),
            _letter(f"containing_{c}", f"containing '{c}'", f"w.contains('{c}')", lambda w: c in w),
        )
    )


def _letter(name: str, words: str, call: str, holds: Callable[[str], bool]) -> Predicate:
    return Predicate(name, words, call, f"!{call}", holds)


@dataclass(frozen=True, slots=True)
class Source:
    """Where words come from."""

    prefix: str
    noun: str
    params: Mapping[str, str]
    iterator: str
    inputs: Callable[[Random], tuple[Any, ...]]
    words: Callable[[Any], list[str]]
    edges: tuple[Arguments, ...]


SOURCES = (
    Source(
        prefix="words_",
        noun="words of `$s`",
        params={"s": "&str"},
        iterator="$s.split_whitespace()",
        inputs=lambda r: (" ".join(_words(r)),),
        words=str.split,
        edges=(("",),),
    ),
    Source(
        prefix="",
        noun="strings in `$words`",
        params={"words": "&[&str]"},
        iterator="$words.iter()",
        inputs=lambda r: (_words(r),),
        words=list,
        edges=(([],),),
    ),
)

MARKS = (("-", "dashes"), (",", "commas"), ("_", "underscores"), (":", "colons"), ("/", "slashes"), (";", "semicolons"))
VOCABULARY = (
    "a",
    "to",
    "cat",
    "tree",
    "ocean",
    "abroad",
    "dot",
    "data",
    "road",
    "bread",
    "Rust",
    "orbit",
    "deed",
    "cab",
)


def _words(rng: Random) -> list[str]:
    return rng.choices(VOCABULARY, k=rng.randint(1, 5))


@family("words", "filter", difficulty=0.35)
def count_words(rng: Random) -> Draft:
    p = word_property(rng)
    source = rng.choice(SOURCES)
    return Draft(
        f"count_{source.prefix}{p.name}",
        params=source.params,
        returns="usize",
        docs=(f"Counts the {p.of(source.noun)}.", f"Returns the number of {p.of(source.noun)}."),
        bodies=(f"{source.iterator}.filter(|w| {p.rust}).count()",),
        oracle=lambda given: sum(map(p.holds, source.words(given))),
        inputs=source.inputs,
        edges=source.edges,
    )


@family("words", "filter", difficulty=0.4)
def keep_words(rng: Random) -> Draft:
    p = word_property(rng)
    source = rng.choice(SOURCES)
    wanted = rng.random() < 0.5
    verb, test = ("keep", p.rust) if wanted else ("remove", p.negated)
    return Draft(
        f"{verb}_{source.prefix}{p.name}",
        params=source.params,
        returns="Vec<String>",
        docs=(f"Returns the {p.of(source.noun)}.", f"Keeps only the {p.of(source.noun)}.")
        if wanted
        else (f"Removes the {p.of(source.noun)}.", f"Drops the {p.of(source.noun)}."),
        bodies=(f"{source.iterator}.filter(|w| {test}).map(|w| w.to_string()).collect()",),
        oracle=lambda given: [w for w in source.words(given) if p.holds(w) == wanted],
        inputs=source.inputs,
        edges=source.edges,
    )


@family("words", "logic", difficulty=0.45, split=Split.UNSEEN_FAMILIES)
def check_words(rng: Random) -> Draft:
    p = word_property(rng)
    source = rng.choice(SOURCES)
    end = rng.choice(
        (
            Variant("any", f"there are any {p.of(source.noun)}", "any", any),
            Variant("all", f"the {source.noun} are all {p.words}", "all", all),
        )
    )
    return Draft(
        f"{end.name}_{source.prefix}{p.name}",
        params=source.params,
        returns="bool",
        docs=(f"Checks whether {end.words}.", f"Returns true if {end.words}."),
        bodies=(f"{source.iterator}.{end.rust}(|w| {p.rust})",),
        oracle=lambda given: end.apply(map(p.holds, source.words(given))),
        inputs=source.inputs,
        edges=source.edges,
    )


@family("words", "map", difficulty=0.35)
def map_words(rng: Random) -> Draft:
    source = rng.choice(SOURCES)
    way = rng.choice(
        (
            Variant("lengths", "lengths of the {}", "map(|w| w.len())", lambda ws: list(map(len, ws)), "Vec<usize>"),
            Variant("uppers", "{} in upper case", "map(|w| w.to_uppercase())", lambda ws: [w.upper() for w in ws]),
            Variant("lowers", "{} in lower case", "map(|w| w.to_lowercase())", lambda ws: [w.lower() for w in ws]),
            Variant(
                "reverses", "{}, each reversed", "map(|w| w.chars().rev().collect())", lambda ws: [w[::-1] for w in ws]
            ),
            Variant("doubles", "{}, each repeated 2 times", "map(|w| w.repeat(2))", lambda ws: [w * 2 for w in ws]),
            Variant(
                "initials",
                "first characters of the {}",
                "filter_map(|w| w.chars().next())",
                lambda ws: "".join(w[0] for w in ws),
                "String",
            ),
        )
    )
    return Draft(
        f"{source.prefix}{way.name}",
        params=source.params,
        returns=way.returns or "Vec<String>",
        docs=(f"Returns the {way.words.format(source.noun)}.", f"Collects the {way.words.format(source.noun)}."),
        bodies=(f"{source.iterator}.{way.rust}.collect()",),
        oracle=lambda given: way.apply(source.words(given)),
        inputs=source.inputs,
        edges=source.edges,
    )


@family("words", "map", "join", difficulty=0.85, split=Split.UNSEEN_FAMILIES)
def join_changed(rng: Random) -> Draft:
    source = rng.choice(SOURCES)
    mark, name = rng.choice(MARKS)
    way = rng.choice(
        (
            Variant("upper", "in upper case", "to_uppercase()", str.upper),
            Variant("lower", "in lower case", "to_lowercase()", str.lower),
            Variant("doubled", "each repeated 2 times", "repeat(2)", lambda w: w + w),
        )
    )
    return Draft(
        f"{source.prefix}{way.name}_with_{name}",
        params=source.params,
        returns="String",
        docs=(
            f"Joins the {source.noun}, {way.words}, with {name}.",
            f"Returns the {source.noun}, {way.words}, joined with {name}.",
        ),
        bodies=(f'{source.iterator}.map(|w| w.{way.rust}).collect::<Vec<String>>().join("{mark}")',),
        oracle=lambda given: mark.join(map(way.apply, source.words(given))),
        inputs=source.inputs,
        edges=source.edges,
    )


@family("words", "fold", difficulty=0.35)
def measure_words(rng: Random) -> Draft:
    source = rng.choice(SOURCES)
    way = rng.choice(
        (
            Variant("count", "number of {}", "count()", len, "usize"),
            Variant(
                "total_length", "total length of the {}", "map(|w| w.len()).sum()", lambda ws: len("".join(ws)), "usize"
            ),
            Variant(
                "largest_length",
                "largest length of the {}, if any",
                "map(|w| w.len()).max()",
                lambda ws: max(map(len, ws), default=None),
                "Option<usize>",
            ),
            Variant(
                "smallest_length",
                "smallest length of the {}, if any",
                "map(|w| w.len()).min()",
                lambda ws: min(map(len, ws), default=None),
                "Option<usize>",
            ),
        )
    )
    return Draft(
        f"{source.prefix}{way.name}",
        params=source.params,
        returns=way.returns,
        docs=(f"Returns the {way.words.format(source.noun)}.", f"Computes the {way.words.format(source.noun)}."),
        bodies=(f"{source.iterator}.{way.rust}",),
        oracle=lambda given: way.apply(source.words(given)),
        inputs=source.inputs,
        edges=source.edges,
    )


@family("words", "join", difficulty=0.4)
def join_and_split(rng: Random) -> Draft:
    mark, name = rng.choice(
        (("-", "dashes"), (",", "commas"), ("_", "underscores"), (":", "colons"), ("/", "slashes"), (";", "semicolons"))
    )
    return rng.choice(
        (
            Draft(
                f"join_with_{name}",
                params={"words": "&[&str]"},
                returns="String",
                docs=(f"Joins `$words` with {name}.", f"Returns the strings in `$words`, joined with {name}."),
                bodies=(f'$words.join("{mark}")',),
                oracle=mark.join,
                inputs=lambda r: (_words(r),),
                edges=(([],),),
            ),
            Draft(
                f"split_on_{name}",
                params={"s": "&str"},
                returns="Vec<String>",
                docs=(f"Splits `$s` on {name}.", f"Returns the parts of `$s` between {name}."),
                bodies=(f"$s.split('{mark}').map(|w| w.to_string()).collect()",),
                oracle=lambda s: s.split(mark),
                inputs=lambda r: (mark.join(_words(r)),),
                edges=(("",),),
            ),
            Draft(
                f"count_on_{name}",
                params={"s": "&str"},
                returns="usize",
                docs=(
                    f"Counts the parts of `$s` between {name}.",
                    f"Returns the number of parts of `$s` between {name}.",
                ),
                bodies=(f"$s.split('{mark}').count()",),
                oracle=lambda s: s.count(mark) + 1,
                inputs=lambda r: (mark.join(_words(r)),),
                edges=(("",),),
            ),
            Draft(
                f"spaces_to_{name}",
                params={"s": "&str"},
                returns="String",
                docs=(f"Replaces the spaces of `$s` with {name}.", f"Returns `$s` with {name} for spaces."),
                bodies=(f"$s.replace(' ', \"{mark}\")",),
                oracle=lambda s: mark.join(s.split(" ")),
                inputs=lambda r: (" ".join(_words(r)),),
                edges=(("",),),
            ),
        )
    )


FAMILIES = (count_words, keep_words, check_words, map_words, join_changed, measure_words, join_and_split)
