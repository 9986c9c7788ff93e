"""All families of tasks, by theme. Each file holds functions that draw drafts, and says which families it offers."""

from __future__ import annotations

from trainer.tasks.families import (
    algorithms,
    arithmetic,
    characters,
    chars,
    dates,
    generics,
    graphs,
    maps,
    matrices,
    neighbours,
    numbers,
    options,
    order,
    pairs,
    pipelines,
    ranges,
    search,
    slices,
    states,
    strings,
    types,
    words,
)
from trainer.tasks.family import Family

MODULES = (
    slices, pipelines, search, order, neighbours, characters, strings, chars,
    words, numbers, arithmetic, ranges, pairs, options, maps,
    matrices, graphs, dates, states, types, generics, algorithms,
)  # fmt: skip
FAMILIES: tuple[Family, ...] = tuple(family for module in MODULES for family in module.FAMILIES)
