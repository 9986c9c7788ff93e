"""Elements of a slice that have a property: counting, summing, keeping and removing them."""

from __future__ import annotations

from random import Random

from trainer.tasks.family import Draft, family, rust
from trainer.tasks.vocabulary import INTEGERS, predicate


@family("slices", "filter", difficulty=0.2)
def count_where(rng: Random) -> Draft:
    t = rng.choice(INTEGERS)
    p = predicate(rng, t)
    return Draft(
        entry=f"count_{p.name}",
        params={"xs": f"&[{t}]"},
        returns="usize",
        docs=(
            f"Counts the {p.of('elements of `$xs`')}.",
            f"Returns the number of {p.of('elements of `$xs`')}.",
            f"Returns how many elements of `$xs` are {p.words}.",
        ),
        bodies=(
            f"$xs.iter().copied().filter(|&x| {p.rust}).count()",
            f"$xs.iter().filter(|&&x| {p.rust}).count()",
            rust(f"""
                let mut count = 0;
                for &x in $xs {{
                    if {p.rust} {{
                        count += 1;
                    }}
                }}
                count
            """),
        ),
        oracle=lambda xs: len([x for x in xs if p.holds(x)]),
        near=p.near,
    )


@family("slices", "filter", difficulty=0.25)
def sum_where(rng: Random) -> Draft:
    t = rng.choice(INTEGERS)
    p = predicate(rng, t)
    return Draft(
        entry=f"sum_{p.name}",
        params={"xs": f"&[{t}]"},
        returns=t,
        docs=(
            f"Returns the sum of the {p.of('elements of `$xs`')}.",
            f"Sums the {p.of('elements of `$xs`')}.",
            f"Adds up the elements of `$xs` that are {p.words}.",
        ),
        bodies=(
            f"$xs.iter().copied().filter(|&x| {p.rust}).sum()",
            rust(f"""
                let mut total = 0;
                for &x in $xs {{
                    if {p.rust} {{
                        total += x;
                    }}
                }}
                total
            """),
        ),
        oracle=lambda xs: sum(x for x in xs if p.holds(x)),
        near=p.near,
    )


@family("slices", "filter", difficulty=0.2)
def keep_where(rng: Random) -> Draft:
    t = rng.choice(INTEGERS)
    p = predicate(rng, t)
    return Draft(
        entry=f"keep_{p.name}",
        params={"xs": f"&[{t}]"},
        returns=f"Vec<{t}>",
        docs=(
            f"Returns the {p.of('elements of `$xs`')}.",
            f"Keeps only the {p.of('elements of `$xs`')}.",
            f"Collects the elements of `$xs` that are {p.words}.",
        ),
        bodies=(
            f"$xs.iter().copied().filter(|&x| {p.rust}).collect()",
            rust(f"""
                let mut out = Vec::new();
                for &x in $xs {{
                    if {p.rust} {{
                        out.push(x);
                    }}
                }}
                out
            """),
        ),
        oracle=lambda xs: [x for x in xs if p.holds(x)],
        near=p.near,
    )


@family("slices", "filter", difficulty=0.3)
def remove_where(rng: Random) -> Draft:
    t = rng.choice(INTEGERS)
    p = predicate(rng, t)
    return Draft(
        entry=f"remove_{p.name}",
        params={"xs": f"&[{t}]"},
        returns=f"Vec<{t}>",
        docs=(
            f"Removes the {p.of('elements of `$xs`')}.",
            f"Returns `$xs` without the {p.of('elements')}.",
            f"Drops the elements of `$xs` that are {p.words}.",
        ),
        bodies=(
            f"$xs.iter().copied().filter(|&x| {p.negated}).collect()",
            rust(f"""
                let mut out = $xs.to_vec();
                out.retain(|&x| {p.negated});
                out
            """),
        ),
        oracle=lambda xs: [x for x in xs if not p.holds(x)],
        near=p.near,
    )


@family("slices", "logic", difficulty=0.2)
def any_or_all(rng: Random) -> Draft:
    t = rng.choice(INTEGERS)
    p = predicate(rng, t)
    some, every = (
        Draft(
            entry=f"any_{p.name}",
            params={"xs": f"&[{t}]"},
            returns="bool",
            docs=(
                f"Checks whether any element of `$xs` is {p.words}.",
                f"Returns true if some element of `$xs` is {p.words}.",
            ),
            bodies=(
                f"$xs.iter().copied().any(|x| {p.rust})",
                f"$xs.iter().any(|&x| {p.rust})",
                rust(f"""
                    for &x in $xs {{
                        if {p.rust} {{
                            return true;
                        }}
                    }}
                    false
                """),
            ),
            oracle=lambda xs: any(map(p.holds, xs)),
            near=p.near,
        ),
        Draft(
            entry=f"all_{p.name}",
            params={"xs": f"&[{t}]"},
            returns="bool",
            docs=(
                f"Checks whether all elements of `$xs` are {p.words}.",
                f"Returns true if every element of `$xs` is {p.words}.",
            ),
            bodies=(
                f"$xs.iter().copied().all(|x| {p.rust})",
                f"$xs.iter().all(|&x| {p.rust})",
                rust(f"""
                    for &x in $xs {{
                        if {p.negated} {{
                            return false;
                        }}
                    }}
                    true
                """),
            ),
            oracle=lambda xs: all(map(p.holds, xs)),
            near=p.near,
        ),
    )
    return rng.choice((some, every))


@family("slices", "filter", "tuple", difficulty=0.5)
def split_by(rng: Random) -> Draft:
    t = rng.choice(INTEGERS)
    p = predicate(rng, t)
    return Draft(
        entry=f"split_{p.name}",
        params={"xs": f"&[{t}]"},
        returns=f"(Vec<{t}>, Vec<{t}>)",
        docs=(
            f"Splits `$xs` into the elements that are {p.words} and the others.",
            f"Returns the {p.of('elements of `$xs`')}, and the others.",
        ),
        bodies=(f"$xs.iter().copied().partition(|&x| {p.rust})",),
        oracle=lambda xs: ([x for x in xs if p.holds(x)], [x for x in xs if not p.holds(x)]),
        near=p.near,
    )


FAMILIES = (count_where, sum_where, keep_where, remove_where, any_or_all, split_by)
