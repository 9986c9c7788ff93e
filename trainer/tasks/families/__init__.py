"""All families of tasks, by theme. Each file is a list of functions that draw drafts."""

from __future__ import annotations

from trainer.tasks.families import numbers, order, search, slices, strings
from trainer.tasks.family import Family

FAMILIES: tuple[Family, ...] = (
    *slices.FAMILIES,
    *search.FAMILIES,
    *order.FAMILIES,
    *strings.FAMILIES,
    *numbers.FAMILIES,
)
