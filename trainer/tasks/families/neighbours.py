"""Elements seen together: neighbours in one slice, running totals, two slices side by side."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from itertools import accumulate, pairwise
from operator import add, mul
from random import Random

from trainer.tasks.family import Draft, Variant, family, rust
from trainer.tasks.vocabulary import INTEGERS, SIGNED


@family("slices", "windows", difficulty=0.5)
def compare_neighbours(rng: Random) -> Draft:
    t = rng.choice(INTEGERS)
    relation = rng.choice(
        (
            Variant("increases", "smaller than", "w[0] < w[1]", lambda a, b: a < b),
            Variant("decreases", "greater than", "w[0] > w[1]", lambda a, b: a > b),
            Variant("repeats", "equal to", "w[0] == w[1]", lambda a, b: a == b),
            Variant("changes", "different from", "w[0] != w[1]", lambda a, b: a != b),
        )
    )
    end = rng.choice(
        (
            Variant("count", "Counts the elements of `$xs` that are", "filter(|w| {}).count()", sum, "usize"),
            Variant("all", "Checks whether all elements of `$xs` are", "all(|w| {})", all, "bool"),
            Variant("any", "Checks whether any element of `$xs` is", "any(|w| {})", any, "bool"),
        )
    )

    def inputs(r: Random) -> tuple[list[int]]:
        run = sorted((r.randint(0, 5) for _ in range(r.randint(1, 4))), reverse=r.random() < 0.5)
        return (run + [3] * r.randint(0, 2),)

    return Draft(
        f"{end.name}_{relation.name}",
        params={"xs": f"&[{t}]"},
        returns=end.returns,
        docs=(f"{end.words} {relation.words} the next one.", f"{end.words} {relation.words} the one after."),
        bodies=(f"$xs.windows(2).{end.rust.format(relation.rust)}",),
        oracle=lambda xs: end.apply(relation.apply(a, b) for a, b in pairwise(xs)),
        inputs=inputs,
        edges=(([],),),
    )


def _combinations(x: str, y: str) -> tuple[Variant, ...]:
    """What two elements can be made into, for the variables `x` and `y`."""
    return (
        Variant("sums", "sums", f"{x} + {y}", lambda a, b: a + b),
        Variant("products", "products", f"{x} * {y}", lambda a, b: a * b),
        Variant("maxima", "maxima", f"{x}.max({y})", max),
        Variant("minima", "minima", f"{x}.min({y})", min),
    )


def _ends(int_type: str, what: str) -> tuple[Variant, ...]:
    """What becomes of the combinations: kept, summed, or the largest."""
    return (
        Variant("each", f"Returns the {what}.", "collect()", list, f"Vec<{int_type}>"),
        Variant("sum", f"Returns the sum of the {what}.", "sum()", sum, int_type),
        Variant("largest", f"Returns the largest of the {what}.", "max()", _largest, f"Option<{int_type}>"),
    )


def _largest(xs: Iterable[int]) -> int | None:
    return max(xs, default=None)


@family("slices", "windows", difficulty=0.45)
def combine_neighbours(rng: Random) -> Draft:
    t = rng.choice(INTEGERS)
    differences = Variant("differences", "differences", "w[1] - w[0]", lambda a, b: b - a)
    made = rng.choice((*_combinations("w[0]", "w[1]"), *([differences] if t in SIGNED else [])))
    end = rng.choice(_ends(t, f"{made.words} of neighbouring elements of `$xs`"))
    return Draft(
        f"{end.name}_neighbour_{made.name}",
        params={"xs": f"&[{t}]"},
        returns=end.returns,
        docs=(end.words, end.words.replace("Returns", "Computes"), end.words.replace("neighbouring", "adjacent")),
        bodies=(f"$xs.windows(2).map(|w| {made.rust}).{end.rust}",),
        oracle=lambda xs: end.apply(made.apply(a, b) for a, b in pairwise(xs)),
    )


@family("slices", "scan", difficulty=0.5)
def running(rng: Random) -> Draft:
    t = rng.choice(INTEGERS)
    start = rng.randint(0, 5)
    step = rng.choice(
        (
            Variant("sums", "sums", "total += x", add),
            Variant("products", "products", "total *= x", mul),
            Variant("maxima", "maxima", "total = total.max(x)", max),
        )
    )
    start = max(start, 1) if step.name == "products" else start
    return Draft(
        f"running_{step.name}_from_{start}",
        params={"xs": f"&[{t}]"},
        returns=f"Vec<{t}>",
        docs=(
            f"Returns the running {step.words} of `$xs`, starting from {start}.",
            f"Computes the running {step.words} of `$xs`, starting from {start}.",
        ),
        bodies=(
            rust(f"""
                let mut total = {start};
                let mut out = Vec::new();
                for &x in $xs {{
                    {step.rust};
                    out.push(total);
                }}
                out
            """),
        ),
        oracle=lambda xs: list(accumulate(xs, step.apply, initial=start))[1:],
        inputs=lambda r: ([r.randint(1, 9) for _ in range(r.randint(1, 6))],),
        edges=(([],),),
    )


@family("slices", "zip", difficulty=0.5)
def pair_up(rng: Random) -> Draft:
    t = rng.choice(INTEGERS)
    made = rng.choice(_combinations("x", "y"))
    end = rng.choice(_ends(t, f"{made.words} of the paired elements of `$a` and `$b`"))
    return Draft(
        f"{end.name}_paired_{made.name}",
        params={"a": f"&[{t}]", "b": f"&[{t}]"},
        returns=end.returns,
        docs=(end.words, end.words.replace("Returns", "Computes")),
        bodies=(f"$a.iter().zip($b).map(|(&x, &y)| {made.rust}).{end.rust}",),
        oracle=lambda a, b: end.apply(map(made.apply, a, b)),
    )


@family("slices", "sets", difficulty=0.4)
def two_slices(rng: Random) -> Draft:
    t = rng.choice(INTEGERS)
    draft = partial(
        Draft,
        params={"a": f"&[{t}]", "b": f"&[{t}]"},
        returns=f"Vec<{t}>",
        inputs=lambda r: (r.choices(range(9), k=r.randint(0, 5)), r.choices(range(9), k=r.randint(1, 5))),
        edges=(([], []),),
    )
    return rng.choice(
        (
            draft(
                "joined",
                docs=(
                    "Joins `$a` and `$b` into one vector.",
                    "Returns the elements of `$a` followed by those of `$b`.",
                ),
                bodies=("let mut out = $a.to_vec();\nout.extend_from_slice($b);\nout", "[$a, $b].concat()"),
                oracle=lambda a, b: a + b,
            ),
            draft(
                "common",
                docs=(
                    "Returns the elements of `$a` that are also in `$b`.",
                    "Keeps the elements of `$a` that `$b` contains.",
                ),
                bodies=("$a.iter().copied().filter(|x| $b.contains(x)).collect()",),
                oracle=lambda a, b: [x for x in a if x in b],
            ),
            draft(
                "missing",
                docs=("Returns the elements of `$a` that are not in `$b`.", "Removes the elements of `$b` from `$a`."),
                bodies=("$a.iter().copied().filter(|x| !$b.contains(x)).collect()",),
                oracle=lambda a, b: [x for x in a if x not in b],
            ),
            draft(
                "count_common",
                returns="usize",
                docs=(
                    "Counts the elements of `$a` that are also in `$b`.",
                    "Returns how many elements of `$a` are in `$b`.",
                ),
                bodies=("$a.iter().filter(|x| $b.contains(x)).count()",),
                oracle=lambda a, b: len([x for x in a if x in b]),
            ),
            draft(
                "starts_with",
                returns="bool",
                docs=("Checks whether `$a` starts with `$b`.", "Returns true if `$b` is a prefix of `$a`."),
                bodies=("$a.starts_with($b)",),
                oracle=lambda a, b: a[: len(b)] == b,
                inputs=lambda r: (list(range(r.randint(0, 4))), list(range(r.randint(0, 3)))),
            ),
        )
    )


FAMILIES = (compare_neighbours, combine_neighbours, running, pair_up, two_slices)
