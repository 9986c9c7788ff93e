"""The numbers from 1 to `n`, filtered, mapped and folded."""

from __future__ import annotations

from random import Random

from trainer.tasks.family import Draft, family
from trainer.tasks.task import Split
from trainer.tasks.vocabulary import UNSIGNED, mapping, predicate


@family("numbers", "ranges", difficulty=0.4)
def over_range(rng: Random) -> Draft:
    t = rng.choice(UNSIGNED)
    p, m = predicate(rng, t), mapping(rng, t)
    range_ = "numbers from 1 to `$n`"
    drafts = (
        Draft(
            entry=f"sum_of_{p.name}_up_to",
            params={"n": t},
            returns=t,
            docs=(f"Returns the sum of the {p.of(range_)}.", f"Sums the {p.of(range_)}."),
            bodies=(f"(1..=$n).filter(|&x| {p.rust}).sum()",),
            oracle=lambda n: sum(filter(p.holds, range(1, n + 1))),
            near=p.near,
        ),
        Draft(
            entry=f"count_of_{p.name}_up_to",
            params={"n": t},
            returns="usize",
            docs=(f"Counts the {p.of(range_)}.", f"Returns the number of {p.of(range_)}."),
            bodies=(f"(1..=$n).filter(|&x| {p.rust}).count()",),
            oracle=lambda n: len(list(filter(p.holds, range(1, n + 1)))),
            near=p.near,
        ),
        Draft(
            entry=f"sum_of_{m.name}_up_to",
            params={"n": t},
            returns=t,
            docs=(f"Returns the sum of the {m.of(range_)}.", f"Sums the {range_}, each {m.participle}."),
            bodies=(f"(1..=$n).map(|x| {m.rust}).sum()",),
            oracle=lambda n: sum(map(m.apply, range(1, n + 1))),
        ),
        Draft(
            entry=f"{m.name}_up_to",
            params={"n": t},
            returns=f"Vec<{t}>",
            docs=(f"Returns the {m.of(range_)}.", f"Collects the {range_}, each {m.participle}."),
            bodies=(f"(1..=$n).map(|x| {m.rust}).collect()",),
            oracle=lambda n: list(map(m.apply, range(1, n + 1))),
        ),
    )
    return rng.choice(drafts)


@family("numbers", "ranges", "filter", difficulty=0.5, split=Split.UNSEEN_FAMILIES)
def keep_range(rng: Random) -> Draft:
    t = rng.choice(UNSIGNED)
    p = predicate(rng, t)
    return Draft(
        entry=f"{p.name}_up_to",
        params={"n": t},
        returns=f"Vec<{t}>",
        docs=(f"Returns the {p.of('numbers from 1 to `$n`')}.", f"Collects the {p.of('numbers from 1 to `$n`')}."),
        bodies=(f"(1..=$n).filter(|&x| {p.rust}).collect()",),
        oracle=lambda n: list(filter(p.holds, range(1, n + 1))),
        near=p.near,
    )


FAMILIES = (over_range, keep_range)
