"""HTML and SVG built from calls. Text is escaped unless it was built here: a model's words never become markup."""

from __future__ import annotations

from html import escape
from typing import TypeAlias

VOID = frozenset(("br", "img", "meta", "line", "circle", "rect", "path", "polyline"))
"""Elements without content."""


class Markup(str):
    """Text that is markup already."""

    __slots__ = ()


Child: TypeAlias = "Markup | str | int | list[Markup] | None"


def tag(name: str, *children: Child, **attributes: str | float | None) -> Markup:
    """An element. `class_` is the attribute class, other underscores become hyphens; None leaves an attribute out."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_number(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Markup(f"<{name}{written}/>" if name in VOID else f"<{name}{written}>{join(*children)}</{name}>")


def join(*children: Child) -> Markup:
    """Children one after another; None vanishes."""
    return Markup("".join(_text(child) for child in children))


def _text(child: Child) -> str:
    match child:
        case None:
            return ""
        case Markup():
            return child
        case list():
            return "".join(child)
        case _:
            return escape(str(child), quote=False)


def _number(value: str | float) -> str:
    """Coordinates need no more than a hundredth of a unit."""
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
