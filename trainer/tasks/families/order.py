"""Order and parts of a slice: reversing, sorting, taking parts, its ends."""

from __future__ import annotations

from functools import partial
from random import Random
from typing import Any

from trainer.tasks.family import Draft, Variant, family
from trainer.tasks.inputs import integer
from trainer.tasks.task import Split
from trainer.tasks.vocabulary import INTEGERS


@family("slices", "order", difficulty=0.3)
def reorder(rng: Random) -> Draft:
    t = rng.choice(INTEGERS)
    draft = partial(Draft, params={"xs": f"&[{t}]"}, returns=f"Vec<{t}>")
    repeats = partial(draft, inputs=lambda r: ([r.randint(0, 3) for _ in range(r.randint(1, 7))],), edges=(([],),))
    return rng.choice(
        (
            draft(
                "reversed",
                docs=("Returns a reversed copy of `$xs`.", "Returns the elements of `$xs` in reverse order."),
                bodies=("$xs.iter().copied().rev().collect()", "let mut out = $xs.to_vec();\nout.reverse();\nout"),
                oracle=lambda xs: xs[::-1],
            ),
            draft(
                "sorted",
                docs=("Returns a sorted copy of `$xs`.", "Returns the elements of `$xs` in ascending order."),
                bodies=("let mut out = $xs.to_vec();\nout.sort();\nout",),
                oracle=sorted,
            ),
            draft(
                "sorted_descending",
                docs=("Returns the elements of `$xs` in descending order.", "Sorts `$xs` in descending order."),
                bodies=(
                    "let mut out = $xs.to_vec();\nout.sort();\nout.reverse();\nout",
                    "let mut out = $xs.to_vec();\nout.sort_by(|a, b| b.cmp(a));\nout",
                ),
                oracle=lambda xs: sorted(xs, reverse=True),
            ),
            repeats(
                "distinct",
                docs=(
                    "Returns the distinct elements of `$xs` in ascending order.",
                    "Returns a sorted copy of `$xs` without duplicates.",
                ),
                bodies=("let mut out = $xs.to_vec();\nout.sort();\nout.dedup();\nout",),
                oracle=lambda xs: sorted(set(xs)),
            ),
            repeats(
                "collapsed",
                docs=(
                    "Removes consecutive duplicates from `$xs`.",
                    "Returns a copy of `$xs` without consecutive duplicates.",
                ),
                bodies=("let mut out = $xs.to_vec();\nout.dedup();\nout",),
                oracle=lambda xs: [x for i, x in enumerate(xs) if i == 0 or x != xs[i - 1]],
            ),
        )
    )


@family("slices", "parts", difficulty=0.3)
def take_part(rng: Random) -> Draft:
    """The amount is a number in the doc comment, or a parameter."""
    t = rng.choice(INTEGERS)
    k = rng.randint(2, 5)
    fixed = rng.random() < 0.7
    amount, words, suffix = (f"{k}", f"{k}", f"_{k}") if fixed else ("$count", "`$count`", "")

    def inputs(r: Random) -> tuple[Any, ...]:
        xs = [integer(r, t) for _ in range(r.randint(0, 7))]
        return (xs,) if fixed else (xs, r.randint(0, 5))

    part = rng.choice(
        (
            Variant("take", "the first {} elements of `$xs`", "take", lambda xs, k: xs[:k]),
            Variant("skip", "all but the first {} elements of `$xs`", "skip", lambda xs, k: xs[k:]),
        )
    )
    what = part.words.format(words)
    return Draft(
        f"{part.name}{suffix}",
        params={"xs": f"&[{t}]"} if fixed else {"xs": f"&[{t}]", "count": "usize"},
        returns=f"Vec<{t}>",
        docs=(f"Returns {what}.", f"Collects {what}."),
        bodies=(
            f"$xs.iter().copied().{part.rust}({amount}).collect()",
            f"$xs.iter().{part.rust}({amount}).copied().collect()",
        ),
        oracle=lambda xs, count=k: part.apply(xs, count),
        inputs=inputs,
        edges=(([],) if fixed else ([], 2),),
    )


@family("slices", "option", difficulty=0.25)
def element_at(rng: Random) -> Draft:
    t = rng.choice(INTEGERS)
    index, ordinal = rng.choice(((1, "second"), (2, "third"), (3, "fourth"), (4, "fifth")))
    place = rng.choice(
        (
            Variant("first", "first element of `$xs`", "$xs.first().copied()", lambda xs: xs[:1]),
            Variant("last", "last element of `$xs`", "$xs.last().copied()", lambda xs: xs[-1:]),
            Variant(
                "middle", "middle element of `$xs`", "$xs.get($xs.len() / 2).copied()", lambda xs: xs[len(xs) // 2 :]
            ),
            Variant(ordinal, f"{ordinal} element of `$xs`", f"$xs.get({index}).copied()", lambda xs: xs[index:]),
            Variant(
                f"{ordinal}_last",
                f"{ordinal} last element of `$xs`",
                f"$xs.iter().copied().rev().nth({index})",
                lambda xs: xs[::-1][index:],
            ),
        )
    )
    return Draft(
        place.name,
        params={"xs": f"&[{t}]"},
        returns=f"Option<{t}>",
        docs=(
            f"Returns the {place.words}, if any.",
            f"Returns the {place.words}, or `None`.",
            f"Finds the {place.words}.",
        ),
        bodies=(place.rust,),
        oracle=lambda xs: next(iter(place.apply(xs)), None),
    )


@family("slices", "option", "tuple", difficulty=0.5)
def two_of_slice(rng: Random) -> Draft:
    t = rng.choice(INTEGERS)
    one, other = rng.sample(
        (
            Variant("first", "first", "first()", lambda xs: xs[0]),
            Variant("last", "last", "last()", lambda xs: xs[-1]),
            Variant("smallest", "smallest", "iter().min()", min),
            Variant("largest", "largest", "iter().max()", max),
        ),
        2,
    )
    what = f"the {one.words} and the {other.words} element of `$xs`"
    return Draft(
        f"{one.name}_and_{other.name}",
        params={"xs": f"&[{t}]"},
        returns=f"Option<({t}, {t})>",
        docs=(f"Returns {what}, if any.", f"Returns {what}, or `None`."),
        bodies=(
            f"Some((*$xs.{one.rust}?, *$xs.{other.rust}?))",
            f"let a = *$xs.{one.rust}?;\nlet b = *$xs.{other.rust}?;\nSome((a, b))",
        ),
        oracle=lambda xs: (one.apply(xs), other.apply(xs)) if xs else None,
    )


@family("slices", "order", "option", difficulty=0.85, split=Split.UNSEEN_FAMILIES)
def ranked(rng: Random) -> Draft:
    t = rng.choice(INTEGERS)
    index, ordinal = rng.choice(((1, "second"), (2, "third"), (3, "fourth"), (4, "fifth")))
    end = rng.choice((Variant("largest", "largest", "rev().", reversed), Variant("smallest", "smallest", "", list)))
    what = f"the {ordinal} {end.words} element of `$xs`"
    return Draft(
        f"{ordinal}_{end.name}",
        params={"xs": f"&[{t}]"},
        returns=f"Option<{t}>",
        docs=(f"Returns {what}, if any.", f"Finds {what}."),
        bodies=(f"let mut out = $xs.to_vec();\nout.sort();\nout.iter().copied().{end.rust}nth({index})",),
        oracle=lambda xs: next(iter(list(end.apply(sorted(xs)))[index:]), None),
    )


FAMILIES = (reorder, take_part, element_at, two_of_slice, ranked)
