"""Hostile candidates by theme, each with the outcome that it must have. Data only: tests beside it judge them."""

from __future__ import annotations

from hostile.attack import Attack
from hostile.compiling import COMPILING
from hostile.forging import FORGING
from hostile.machine import MACHINE
from hostile.memory import MEMORY
from hostile.resources import RESOURCES
from hostile.siblings import SIBLINGS
from hostile.texts import TEXTS

THEMES: dict[str, dict[str, Attack]] = {
    "forging": FORGING,
    "siblings": SIBLINGS,
    "machine": MACHINE,
    "memory": MEMORY,
    "compiling": COMPILING,
    "resources": RESOURCES,
    "texts": TEXTS,
}
ATTACKS: dict[str, Attack] = {
    f"{theme}: {name}": attack for theme, attacks in THEMES.items() for name, attack in attacks.items()
}
