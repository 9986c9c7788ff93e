"""What a check finds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias


class Health(StrEnum):
    """How a check went. Only MISSING stops a run."""

    OK = "ok"
    NOTE = "note"
    MISSING = "missing"


Fix: TypeAlias = Callable[[], str]
"""Mends what was found, and says what it did. Harmless: it takes nothing that anybody uses."""


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the table: what was looked at, what was found, and what to do about it."""

    name: str
    health: Health
    found: str
    remedy: str = ""
    fix: Fix | None = None
    """For `ferrotype doctor --fix`."""
