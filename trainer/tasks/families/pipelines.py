"""Transformed elements of a slice, and filters joined to maps and folds.

The unseen families here are recombinations: their parts are all trained on, in other company.
"""

from __future__ import annotations

import math
from random import Random

from trainer.tasks.families.search import EXTREMES
from trainer.tasks.family import Arguments, Draft, family, rust
from trainer.tasks.task import Split
from trainer.tasks.vocabulary import INTEGERS, mapping, predicate


def _factors(rng: Random) -> Arguments:
    """Few and small, so that products fit."""
    return ([rng.randint(1, 6) for _ in range(rng.randint(1, 4))],)


@family("slices", "map", difficulty=0.15)
def map_each(rng: Random) -> Draft:
    t = rng.choice(INTEGERS)
    m = mapping(rng, t)
    return Draft(
        entry=f"each_{m.name}",
        params={"xs": f"&[{t}]"},
        returns=f"Vec<{t}>",
        docs=(
            f"Returns the {m.of('elements of `$xs`')}.",
            f"Returns every element of `$xs` {m.participle}.",
            f"Returns a vector of the elements of `$xs`, each {m.participle}.",
        ),
        bodies=(
            f"$xs.iter().copied().map(|x| {m.rust}).collect()",
            f"$xs.iter().map(|&x| {m.rust}).collect()",
            rust(f"""
                let mut out = Vec::new();
                for &x in $xs {{
                    out.push({m.rust});
                }}
                out
            """),
        ),
        oracle=lambda xs: [m.apply(x) for x in xs],
    )


@family("slices", "map", difficulty=0.2)
def sum_each(rng: Random) -> Draft:
    t = rng.choice(INTEGERS)
    m = mapping(rng, t)
    return Draft(
        entry=f"sum_{m.name}",
        params={"xs": f"&[{t}]"},
        returns=t,
        docs=(
            f"Returns the sum of the {m.of('elements of `$xs`')}.",
            f"Sums the elements of `$xs`, each {m.participle}.",
        ),
        bodies=(
            f"$xs.iter().copied().map(|x| {m.rust}).sum()",
            rust(f"""
                let mut total = 0;
                for &x in $xs {{
                    total += {m.rust};
                }}
                total
            """),
        ),
        oracle=lambda xs: sum(map(m.apply, xs)),
    )


@family("slices", "map", "product", difficulty=0.25)
def product_each(rng: Random) -> Draft:
    t = rng.choice(INTEGERS)
    m = mapping(rng, t)
    if rng.random() < 0.3:
        return Draft(
            entry="product",
            params={"xs": f"&[{t}]"},
            returns=t,
            docs=("Returns the product of the elements of `$xs`.", "Multiplies the elements of `$xs`."),
            bodies=("$xs.iter().copied().product()", "$xs.iter().product()"),
            oracle=math.prod,
            inputs=_factors,
            edges=(([],),),
        )
    return Draft(
        entry=f"product_{m.name}",
        params={"xs": f"&[{t}]"},
        returns=t,
        docs=(
            f"Returns the product of the {m.of('elements of `$xs`')}.",
            f"Multiplies the elements of `$xs`, each {m.participle}.",
        ),
        bodies=(f"$xs.iter().copied().map(|x| {m.rust}).product()",),
        oracle=lambda xs: math.prod(map(m.apply, xs)),
        inputs=lambda r: ([r.randint(1, 6) for _ in range(r.randint(1, 3))],),
        edges=(([],),),
    )


@family("slices", "filter", "map", difficulty=0.4)
def map_where(rng: Random) -> Draft:
    t = rng.choice(INTEGERS)
    p, m = predicate(rng, t), mapping(rng, t)
    return Draft(
        entry=f"{p.name}_{m.name}",
        params={"xs": f"&[{t}]"},
        returns=f"Vec<{t}>",
        docs=(
            f"Returns the {m.of(p.of('elements of `$xs`'))}.",
            f"Returns a vector of the {p.of('elements of `$xs`')}, each {m.participle}.",
        ),
        bodies=(
            f"$xs.iter().copied().filter(|&x| {p.rust}).map(|x| {m.rust}).collect()",
            rust(f"""
                let mut out = Vec::new();
                for &x in $xs {{
                    if {p.rust} {{
                        out.push({m.rust});
                    }}
                }}
                out
            """),
        ),
        oracle=lambda xs: [m.apply(x) for x in xs if p.holds(x)],
        near=p.near,
    )


@family("slices", "filter", "map", difficulty=0.5)
def sum_map_where(rng: Random) -> Draft:
    t = rng.choice(INTEGERS)
    p, m = predicate(rng, t), mapping(rng, t)
    return Draft(
        entry=f"sum_{p.name}_{m.name}",
        params={"xs": f"&[{t}]"},
        returns=t,
        docs=(
            f"Returns the sum of the {m.of(p.of('elements of `$xs`'))}.",
            f"Sums the {p.of('elements of `$xs`')}, each {m.participle}.",
        ),
        bodies=(
            f"$xs.iter().copied().filter(|&x| {p.rust}).map(|x| {m.rust}).sum()",
            rust(f"""
                let mut total = 0;
                for &x in $xs {{
                    if {p.rust} {{
                        total += {m.rust};
                    }}
                }}
                total
            """),
        ),
        oracle=lambda xs: sum(m.apply(x) for x in xs if p.holds(x)),
        near=p.near,
    )


@family("slices", "filter", "extreme", difficulty=0.6, split=Split.UNSEEN_FAMILIES)
def extreme_where(rng: Random) -> Draft:
    t = rng.choice(INTEGERS)
    p = predicate(rng, t)
    end = rng.choice(EXTREMES)
    words, method = end.words, end.rust
    return Draft(
        entry=f"{words}_{p.name}",
        params={"xs": f"&[{t}]"},
        returns=f"Option<{t}>",
        docs=(
            f"Returns the {words} {p.of('element of `$xs`')}, if any.",
            f"Finds the {words} {p.of('element of `$xs`')}.",
        ),
        bodies=(f"$xs.iter().copied().filter(|&x| {p.rust}).{method}()",),
        oracle=lambda xs: end.apply(filter(p.holds, xs), default=None),
        near=p.near,
    )


@family("slices", "filter", "product", difficulty=0.6, split=Split.UNSEEN_FAMILIES)
def product_where(rng: Random) -> Draft:
    t = rng.choice(INTEGERS)
    p = predicate(rng, t)
    return Draft(
        entry=f"product_{p.name}",
        params={"xs": f"&[{t}]"},
        returns=t,
        docs=(
            f"Returns the product of the {p.of('elements of `$xs`')}.",
            f"Multiplies the elements of `$xs` that are {p.words}.",
        ),
        bodies=(f"$xs.iter().copied().filter(|&x| {p.rust}).product()",),
        oracle=lambda xs: math.prod(filter(p.holds, xs)),
        inputs=lambda r: ([r.randint(0, 13) for _ in range(r.randint(1, 4))],),
        edges=(([],),),
    )


@family("slices", "filter", "order", difficulty=0.75, split=Split.UNSEEN_FAMILIES)
def sorted_where(rng: Random) -> Draft:
    t = rng.choice(INTEGERS)
    p = predicate(rng, t)
    return Draft(
        entry=f"sorted_{p.name}",
        params={"xs": f"&[{t}]"},
        returns=f"Vec<{t}>",
        docs=(
            f"Returns the {p.of('elements of `$xs`')} in ascending order.",
            f"Returns a sorted copy of the elements of `$xs` that are {p.words}.",
        ),
        bodies=(
            rust(f"""
                let mut out: Vec<{t}> = $xs.iter().copied().filter(|&x| {p.rust}).collect();
                out.sort();
                out
            """),
        ),
        oracle=lambda xs: sorted(filter(p.holds, xs)),
        near=p.near,
    )


FAMILIES = (
    map_each, sum_each, product_each, map_where, sum_map_where, extreme_where, product_where, sorted_where,
)  # fmt: skip
