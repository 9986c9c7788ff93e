"""`GET /`: the playground, one page that loads nothing else. It asks the API like anybody.

    page.html, page.css, *.js ─► one document, with a policy under which nothing but its own script and style runs

Prompts and answers can't become markup: the page's scripts only ever write text, and the policy's trusted types refuse
anything else.
"""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path

from fastapi import FastAPI, Response

HERE = Path(__file__).parent
SCRIPTS = ("rust.js", "listing.js", "client.js", "history.js", "page.js")
"""In this order, as one module."""


@dataclass(frozen=True, slots=True)
class Page:
    """The document, and the Content-Security-Policy that it is served with."""

    html: bytes
    policy: str


@cache
def read_page() -> Page:
    """The page, put together from its files."""
    style = (HERE / "page.css").read_text()
    script = "\n".join((HERE / name).read_text() for name in SCRIPTS)
    html = (HERE / "page.html").read_text().replace("{style}", style).replace("{script}", script)
    policy = (
        "default-src 'none'",
        f"script-src {_source(script)}",
        f"style-src {_source(style)}",
        "img-src data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
    return Page(html.encode(), "; ".join(policy))


def add_playground(app: FastAPI) -> None:
    """Adds the page to `app`."""
    page = read_page()
    headers = {
        "Content-Security-Policy": page.policy,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-cache",
    }

    @app.api_route("/", methods=["GET", "HEAD"], include_in_schema=False)
    async def playground() -> Response:
        return Response(page.html, media_type="text/html; charset=utf-8", headers=headers)


def _source(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"
