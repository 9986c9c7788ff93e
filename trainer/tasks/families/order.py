"""Order and shape of slices: reversing, sorting, taking parts, neighbours, running totals, two slices at once."""

from __future__ import annotations

from itertools import accumulate, pairwise
from random import Random

from trainer.tasks.family import Arguments, Draft, family, rust
from trainer.tasks.inputs import integer
from trainer.tasks.vocabulary import INTEGERS, SIGNED, predicate


@family("slices", "order", difficulty=0.3)
def reorder(rng: Random) -> Draft:
    t = rng.choice(INTEGERS)
    params, returns = {"xs": f"&[{t}]"}, f"Vec<{t}>"
    return rng.choice(
        (
            Draft(
                entry="reversed",
                params=params,
                returns=returns,
                docs=("Returns a reversed copy of `$xs`.", "Returns the elements of `$xs` in reverse order."),
                bodies=(
                    "$xs.iter().copied().rev().collect()",
                    "let mut out = $xs.to_vec();\nout.reverse();\nout",
                ),
                oracle=lambda xs: xs[::-1],
            ),
            Draft(
                entry="sorted",
                params=params,
                returns=returns,
                docs=("Returns a sorted copy of `$xs`.", "Returns the elements of `$xs` in ascending order."),
                bodies=("let mut out = $xs.to_vec();\nout.sort();\nout",),
                oracle=sorted,
            ),
            Draft(
                entry="sorted_descending",
                params=params,
                returns=returns,
                docs=("Returns the elements of `$xs` in descending order.", "Returns a copy of `$xs` sorted in descending order."),
                bodies=("let mut out = $xs.to_vec();\nout.sort();\nout.reverse();\nout", "let mut out = $xs.to_vec();\nout.sort_by(|a, b| b.cmp(a));\nout"),
                oracle=lambda xs: sorted(xs, reverse=True),
            ),
            Draft(
                entry="distinct",
                params=params,
                returns=returns,
                docs=("Returns the distinct elements of `$xs` in ascending order.", "Returns a sorted copy of `$xs` without duplicates."),
                bodies=("let mut out = $xs.to_vec();\nout.sort();\nout.dedup();\nout",),
                oracle=lambda xs: sorted(set(xs)),
                inputs=lambda r: ([r.randint(0, 6) for _ in range(r.randint(1, 7))],),
                edges=(([],),),
            ),
            Draft(
                entry="collapsed",
                params=params,
                returns=returns,
                docs=("Removes consecutive duplicates from `$xs`.", "Returns `$xs` with runs of equal elements collapsed."),
                bodies=("let mut out = $xs.to_vec();\nout.dedup();\nout",),
                oracle=lambda xs: [x for i, x in enumerate(xs) if i == 0 or x != xs[i - 1]],
                inputs=lambda r: ([r.randint(0, 2) for _ in range(r.randint(1, 7))],),
                edges=(([],),),
            ),
        )
    )  # fmt: skip


@family("slices", "parts", difficulty=0.3)
def take_part(rng: Random) -> Draft:
    """The amount is a number in the doc comment, or a parameter."""
    t = rng.choice(INTEGERS)
    k = rng.randint(2, 5)
    literal = rng.random() < 0.7
    params = {"xs": f"&[{t}]"} if literal else {"xs": f"&[{t}]", "count": "usize"}
    amount, words, name = (str(k), str(k), f"_{k}") if literal else ("$count", "`$count`", "")

    def inputs(r: Random) -> Arguments:
        xs = [integer(r, t) for _ in range(r.randint(0, 7))]
        return (xs,) if literal else (xs, r.randint(0, 5))  # type: ignore[return-value]

    verb, doc, calls, part = rng.choice(
        (
            ("take", f"Returns the first {words} elements of `$xs`.", f"take({amount})", lambda xs, k: xs[:k]),
            ("skip", f"Returns `$xs` without its first {words} elements.", f"skip({amount})", lambda xs, k: xs[k:]),
            ("every", f"Returns every {words}th element of `$xs`, from the first.", f"step_by({amount})", lambda xs, k: xs[::k]),
            ("rotate", f"Returns `$xs` with its first {words} elements moved to the end.", "", lambda xs, k: xs[k:] + xs[:k]),
        )[: 4 if literal else 2]
    )  # fmt: skip
    if verb == "rotate":
        bodies: tuple[str, ...] = (
            f"$xs.iter().copied().skip({amount}).chain($xs.iter().copied().take({amount})).collect()",
        )
    else:
        bodies = (f"$xs.iter().copied().{calls}.collect()", f"$xs.iter().{calls}.copied().collect()")
    return Draft(
        entry=f"{verb}{name}",
        params=params,
        returns=f"Vec<{t}>",
        docs=(doc, doc.replace("Returns", "Collects", 1)) if verb != "rotate" else (doc,),
        bodies=bodies,
        oracle=lambda xs, count=k: part(xs, count),
        inputs=inputs,
        edges=(([],) if literal else ([], 2),),
    )


@family("slices", "option", "tuple", difficulty=0.4)
def slice_ends(rng: Random) -> Draft:
    t = rng.choice(INTEGERS)
    params = {"xs": f"&[{t}]"}
    one, two = f"Option<{t}>", f"Option<({t}, {t})>"
    name, words, returns, bodies, oracle = rng.choice(
        (
            ("first", "the first element of `$xs`", one, ("$xs.first().copied()", "$xs.iter().copied().next()"), lambda xs: xs[0] if xs else None),
            ("last", "the last element of `$xs`", one, ("$xs.last().copied()", "$xs.iter().copied().last()"), lambda xs: xs[-1] if xs else None),
            ("second", "the second element of `$xs`", one, ("$xs.get(1).copied()", "$xs.iter().copied().nth(1)"), lambda xs: xs[1] if len(xs) > 1 else None),
            ("middle", "the middle element of `$xs`", one, ("$xs.get($xs.len() / 2).copied()",), lambda xs: xs[len(xs) // 2] if xs else None),
            ("first_and_last", "the first and the last element of `$xs`", two, (
                "match ($xs.first(), $xs.last()) {\n    (Some(&a), Some(&b)) => Some((a, b)),\n    _ => None,\n}",
                "Some((*$xs.first()?, *$xs.last()?))",
            ), lambda xs: (xs[0], xs[-1]) if xs else None),
            ("smallest_and_largest", "the smallest and the largest element of `$xs`", two, (
                "match ($xs.iter().min(), $xs.iter().max()) {\n    (Some(&a), Some(&b)) => Some((a, b)),\n    _ => None,\n}",
                "Some((*$xs.iter().min()?, *$xs.iter().max()?))",
            ), lambda xs: (min(xs), max(xs)) if xs else None),
        )
    )  # fmt: skip
    return Draft(
        entry=name,
        params=params,
        returns=returns,
        docs=(f"Returns {words}, if any.", f"Returns {words}, or `None`."),
        bodies=bodies,
        oracle=oracle,
    )


@family("slices", "windows", difficulty=0.5)
def neighbours(rng: Random) -> Draft:
    t = rng.choice(INTEGERS)
    name, words, op, holds = rng.choice(
        (
            ("increases", "smaller than the next", "<", lambda a, b: a < b),
            ("decreases", "greater than the next", ">", lambda a, b: a > b),
            ("repeats", "equal to the next", "==", lambda a, b: a == b),
            ("changes", "different from the next", "!=", lambda a, b: a != b),
        )
    )
    verb, doc, call, returns, collect = rng.choice(
        (
            ("count", f"Counts the elements of `$xs` that are {words} one.", f"filter(|w| w[0] {op} w[1]).count()", "usize", sum),
            ("all", f"Checks whether every element of `$xs` is {words} one.", f"all(|w| w[0] {op} w[1])", "bool", all),
            ("any", f"Checks whether some element of `$xs` is {words} one.", f"any(|w| w[0] {op} w[1])", "bool", any),
        )
    )  # fmt: skip
    return Draft(
        entry=f"{verb}_{name}",
        params={"xs": f"&[{t}]"},
        returns=returns,
        docs=(doc,),
        bodies=(f"$xs.windows(2).{call}",),
        oracle=lambda xs: collect(holds(a, b) for a, b in pairwise(xs)),
        inputs=lambda r: (sorted((r.randint(0, 5) for _ in range(r.randint(1, 4))), reverse=r.random() < 0.5) + [3] * r.randint(0, 2),),
        edges=(([],),),
    )  # fmt: skip


@family("slices", "scan", difficulty=0.5)
def running(rng: Random) -> Draft:
    t = rng.choice(INTEGERS)
    params, returns = {"xs": f"&[{t}]"}, f"Vec<{t}>"

    def loop(start: str, update: str) -> str:
        return rust(f"""
            let mut {start};
            let mut out = Vec::new();
            for &x in $xs {{
                {update}
                out.push(total);
            }}
            out
        """)

    drafts = [
        Draft(
            entry="running_sums",
            params=params,
            returns=returns,
            docs=("Returns the running sums of `$xs`.", "Returns the sums of all prefixes of `$xs`."),
            bodies=(loop("total = 0", "total += x;"),),
            oracle=lambda xs: list(accumulate(xs)),
        ),
        Draft(
            entry="running_products",
            params=params,
            returns=returns,
            docs=("Returns the running products of `$xs`.", "Returns the products of all prefixes of `$xs`."),
            bodies=(loop("total = 1", "total *= x;"),),
            oracle=lambda xs: list(accumulate(xs, lambda a, b: a * b)),
            inputs=lambda r: ([r.randint(1, 9) for _ in range(r.randint(1, 6))],),
            edges=(([],),),
        ),
        Draft(
            entry="neighbour_sums",
            params=params,
            returns=returns,
            docs=("Returns the sums of neighbouring elements of `$xs`.", "Returns each element of `$xs` plus the next one."),
            bodies=("$xs.windows(2).map(|w| w[0] + w[1]).collect()",),
            oracle=lambda xs: [a + b for a, b in pairwise(xs)],
        ),
        Draft(
            entry="neighbour_products",
            params=params,
            returns=returns,
            docs=("Returns the products of neighbouring elements of `$xs`.", "Returns each element of `$xs` times the next one."),
            bodies=("$xs.windows(2).map(|w| w[0] * w[1]).collect()",),
            oracle=lambda xs: [a * b for a, b in pairwise(xs)],
        ),
    ]  # fmt: skip
    if t in SIGNED:
        drafts.append(
            Draft(
                entry="differences",
                params=params,
                returns=returns,
                docs=("Returns the differences of neighbouring elements of `$xs`.", "Returns each element of `$xs` subtracted from the next one."),
                bodies=("$xs.windows(2).map(|w| w[1] - w[0]).collect()",),
                oracle=lambda xs: [b - a for a, b in pairwise(xs)],
            )
        )  # fmt: skip
    return rng.choice(drafts)


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


@family("slices", "zip", difficulty=0.5)
def two_slices(rng: Random) -> Draft:
    t = rng.choice(INTEGERS)
    params = {"a": f"&[{t}]", "b": f"&[{t}]"}
    if rng.random() < 0.6:
        name, words, expression, combine = rng.choice(
            (
                ("sums", "sums", "x + y", lambda x, y: x + y),
                ("products", "products", "x * y", lambda x, y: x * y),
                ("maxima", "larger ones", "x.max(y)", max),
                ("minima", "smaller ones", "x.min(y)", min),
            )
        )
        pairs = "$a.iter().copied().zip($b.iter().copied())"
        return rng.choice(
            (
                Draft(
                    entry=f"pairwise_{name}",
                    params=params,
                    returns=f"Vec<{t}>",
                    docs=(f"Returns the {words} of the paired elements of `$a` and `$b`.", f"Pairs `$a` with `$b` and returns the {words}."),
                    bodies=(f"{pairs}.map(|(x, y)| {expression}).collect()",),
                    oracle=lambda a, b: list(map(combine, a, b)),
                ),
                Draft(
                    entry=f"total_of_{name}",
                    params=params,
                    returns=t,
                    docs=(f"Returns the sum of the {words} of the paired elements of `$a` and `$b`.", f"Pairs `$a` with `$b` and sums the {words}."),
                    bodies=(f"{pairs}.map(|(x, y)| {expression}).sum()",),
                    oracle=lambda a, b: sum(map(combine, a, b)),
                ),
            )
        )  # fmt: skip
    return rng.choice(
        (
            Draft(
                entry="joined",
                params=params,
                returns=f"Vec<{t}>",
                docs=("Joins `$a` and `$b` into one vector.", "Returns the elements of `$a` followed by those of `$b`."),
                bodies=("let mut out = $a.to_vec();\nout.extend_from_slice($b);\nout", "[$a, $b].concat()"),
                oracle=lambda a, b: a + b,
            ),
            Draft(
                entry="common",
                params=params,
                returns=f"Vec<{t}>",
                docs=("Returns the elements of `$a` that are also in `$b`.", "Keeps the elements of `$a` that `$b` contains."),
                bodies=("$a.iter().copied().filter(|x| $b.contains(x)).collect()",),
                oracle=lambda a, b: [x for x in a if x in b],
                inputs=lambda r: (r.choices(range(9), k=r.randint(0, 5)), r.choices(range(9), k=r.randint(1, 5))),
            ),
            Draft(
                entry="missing",
                params=params,
                returns=f"Vec<{t}>",
                docs=("Returns the elements of `$a` that are not in `$b`.", "Removes the elements of `$b` from `$a`."),
                bodies=("$a.iter().copied().filter(|x| !$b.contains(x)).collect()",),
                oracle=lambda a, b: [x for x in a if x not in b],
                inputs=lambda r: (r.choices(range(9), k=r.randint(0, 5)), r.choices(range(9), k=r.randint(1, 5))),
            ),
        )
    )  # fmt: skip


FAMILIES = (reorder, take_part, slice_ends, neighbours, running, split_by, two_slices)
