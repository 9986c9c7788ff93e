"""Finding elements of a slice: the first, the last, an index, the largest, and whether a value is there."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from reward_farm.problem import Value
from trainer.tasks.family import Arguments, Draft, Variant, family, rust
from trainer.tasks.inputs import integer
from trainer.tasks.vocabulary import INTEGERS, mapping, predicate

EXTREMES = (Variant("largest", "largest", "max", max), Variant("smallest", "smallest", "min", min))


@family("slices", "search", "option", difficulty=0.25)
def find_where(rng: Random) -> Draft:
    t = rng.choice(INTEGERS)
    p = predicate(rng, t)
    first = Draft(
        entry=f"first_{p.name}",
        params={"xs": f"&[{t}]"},
        returns=f"Option<{t}>",
        docs=(
            f"Returns the first {p.of('element of `$xs`')}, if any.",
            f"Finds the first {p.of('element of `$xs`')}.",
            f"Returns the first element of `$xs` that is {p.words}, or `None`.",
        ),
        bodies=(
            f"$xs.iter().copied().find(|&x| {p.rust})",
            rust(f"""
                for &x in $xs {{
                    if {p.rust} {{
                        return Some(x);
                    }}
                }}
                None
            """),
        ),
        oracle=lambda xs: next((x for x in xs if p.holds(x)), None),
        near=p.near,
    )
    last = Draft(
        entry=f"last_{p.name}",
        params={"xs": f"&[{t}]"},
        returns=f"Option<{t}>",
        docs=(
            f"Returns the last {p.of('element of `$xs`')}, if any.",
            f"Finds the last {p.of('element of `$xs`')}.",
            f"Returns the last element of `$xs` that is {p.words}, or `None`.",
        ),
        bodies=(
            f"$xs.iter().copied().rev().find(|&x| {p.rust})",
            rust(f"""
                let mut found = None;
                for &x in $xs {{
                    if {p.rust} {{
                        found = Some(x);
                    }}
                }}
                found
            """),
        ),
        oracle=lambda xs: next((x for x in reversed(xs) if p.holds(x)), None),
        near=p.near,
    )
    return rng.choice((first, last))


@family("slices", "search", "option", difficulty=0.3)
def index_where(rng: Random) -> Draft:
    t = rng.choice(INTEGERS)
    p = predicate(rng, t)
    return Draft(
        entry=f"index_of_{p.name}",
        params={"xs": f"&[{t}]"},
        returns="Option<usize>",
        docs=(
            f"Returns the index of the first {p.of('element of `$xs`')}, if any.",
            f"Finds the position of the first {p.of('element of `$xs`')}.",
        ),
        bodies=(
            f"$xs.iter().copied().position(|x| {p.rust})",
            f"$xs.iter().position(|&x| {p.rust})",
            rust(f"""
                for (i, &x) in $xs.iter().enumerate() {{
                    if {p.rust} {{
                        return Some(i);
                    }}
                }}
                None
            """),
        ),
        oracle=lambda xs: next((i for i, x in enumerate(xs) if p.holds(x)), None),
        near=p.near,
    )


@family("slices", "search", difficulty=0.45)
def indices_where(rng: Random) -> Draft:
    t = rng.choice(INTEGERS)
    p = predicate(rng, t)
    return Draft(
        entry=f"indices_of_{p.name}",
        params={"xs": f"&[{t}]"},
        returns="Vec<usize>",
        docs=(
            f"Returns the indices of the {p.of('elements of `$xs`')}.",
            f"Collects the positions of the {p.of('elements of `$xs`')}.",
        ),
        bodies=(
            rust(f"""
                let mut out = Vec::new();
                for (i, &x) in $xs.iter().enumerate() {{
                    if {p.rust} {{
                        out.push(i);
                    }}
                }}
                out
            """),
        ),
        oracle=lambda xs: [i for i, x in enumerate(xs) if p.holds(x)],
        near=p.near,
    )


@family("slices", "extreme", "option", difficulty=0.3)
def extreme_of(rng: Random) -> Draft:
    t = rng.choice(INTEGERS)
    end = rng.choice(EXTREMES)
    words, method = end.words, end.rust
    m = mapping(rng, t)
    plain = Draft(
        entry=words,
        params={"xs": f"&[{t}]"},
        returns=f"Option<{t}>",
        docs=(
            f"Returns the {words} element of `$xs`, if any.",
            f"Finds the {words} element of `$xs`.",
            f"Returns the {words} element of `$xs`, or `None` if it is empty.",
        ),
        bodies=(f"$xs.iter().copied().{method}()", f"$xs.iter().{method}().copied()"),
        oracle=lambda xs: end.apply(xs) if xs else None,
    )
    mapped = Draft(
        entry=f"{words}_of_{m.name}",
        params={"xs": f"&[{t}]"},
        returns=f"Option<{t}>",
        docs=(
            f"Returns the {words} of the {m.of('elements of `$xs`')}, or `None` if it is empty.",
            f"Finds the {words} of the elements of `$xs`, each {m.participle}.",
        ),
        bodies=(f"$xs.iter().copied().map(|x| {m.rust}).{method}()", f"$xs.iter().map(|&x| {m.rust}).{method}()"),
        oracle=lambda xs: end.apply(map(m.apply, xs)) if xs else None,
    )
    return rng.choice((plain, mapped, mapped))


def _with_target(t: str) -> Callable[[Random], Arguments]:
    """Draws a slice with repeats, and a value that is mostly in it."""

    def draw(rng: Random) -> Arguments:
        xs: list[Value] = [integer(rng, t) for _ in range(rng.randint(1, 6))]
        target = rng.choice(xs) if rng.random() < 0.6 else integer(rng, t)
        return xs + xs[: rng.randint(0, 2)], target

    return draw


@family("slices", "search", difficulty=0.25)
def lookup(rng: Random) -> Draft:
    t = rng.choice(INTEGERS)
    params = {"xs": f"&[{t}]", "target": t}
    draw = _with_target(t)
    return rng.choice(
        (
            Draft(
                entry="contains",
                params=params,
                returns="bool",
                docs=("Checks whether `$xs` contains `$target`.", "Returns true if `$target` is in `$xs`."),
                bodies=("$xs.contains(&$target)", "$xs.iter().any(|&x| x == $target)"),
                oracle=lambda xs, target: target in xs,
                inputs=draw,
                edges=(([], 1),),
            ),
            Draft(
                entry="index_of",
                params=params,
                returns="Option<usize>",
                docs=("Returns the index of `$target` in `$xs`, if any.", "Finds the position of `$target` in `$xs`."),
                bodies=("$xs.iter().position(|&x| x == $target)",),
                oracle=lambda xs, target: xs.index(target) if target in xs else None,
                inputs=draw,
                edges=(([], 1),),
            ),
            Draft(
                entry="occurrences",
                params=params,
                returns="usize",
                docs=(
                    "Counts how often `$target` occurs in `$xs`.",
                    "Returns the number of elements of `$xs` equal to `$target`.",
                ),
                bodies=("$xs.iter().filter(|&&x| x == $target).count()",),
                oracle=lambda xs, target: xs.count(target),
                inputs=draw,
                edges=(([], 1),),
            ),
            Draft(
                entry="without",
                params=params,
                returns=f"Vec<{t}>",
                docs=("Returns the elements of `$xs` that differ from `$target`.", "Removes `$target` from `$xs`."),
                bodies=("$xs.iter().copied().filter(|&x| x != $target).collect()",),
                oracle=lambda xs, target: [x for x in xs if x != target],
                inputs=draw,
                edges=(([], 1),),
            ),
        )
    )


@family("slices", "filter", difficulty=0.3)
def compare_with_bound(rng: Random) -> Draft:
    """The bound is a parameter here: the body copies a name, not a number."""
    t = rng.choice(INTEGERS)
    bound = rng.choice(
        (
            Variant("above", "greater than", "x > $k", lambda x, k: x > k),
            Variant("below", "less than", "x < $k", lambda x, k: x < k),
            Variant("at_least", "at least", "x >= $k", lambda x, k: x >= k),
            Variant("at_most", "at most", "x <= $k", lambda x, k: x <= k),
        )
    )
    end = rng.choice(
        (
            Variant("count", "Counts the", "filter(|&x| {}).count()", len, "usize"),
            Variant("sum", "Sums the", "filter(|&x| {}).sum()", sum, t),
            Variant("keep", "Keeps the", "filter(|&x| {}).collect()", list, f"Vec<{t}>"),
            Variant(
                "first", "Finds the first of the", "find(|&x| {})", lambda hits: next(iter(hits), None), f"Option<{t}>"
            ),
        )
    )
    return Draft(
        f"{end.name}_{bound.name}",
        params={"xs": f"&[{t}]", "k": t},
        returns=end.returns,
        docs=(
            f"{end.words} elements in `$xs` that are {bound.words} `$k`.",
            f"{end.words} elements of `$xs` that are {bound.words} `$k`.",
        ),
        bodies=(f"$xs.iter().copied().{end.rust.format(bound.rust)}",),
        oracle=lambda xs, k: end.apply([x for x in xs if bound.apply(x, k)]),
        inputs=_with_target(t),
        edges=(([], 1),),
    )


FAMILIES = (
    find_where, index_where, indices_where, extreme_of, lookup, compare_with_bound,
)  # fmt: skip
