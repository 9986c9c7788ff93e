"""`ferrotype serve`: hosts one model. What a person can get wrong is found before Ray starts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from serve.hosting import Hosted, host
from serve.model_file import read_model_file
from serve.settings import ServeSettings

APP_NAME = "ferrotype"


def run(settings: ServeSettings, on_ready: Callable[[str], None] = print) -> None:
    """Serve until SIGINT or SIGTERM; call from the main thread.

    Args:
        on_ready: called with one line for the operator once requests are answered.

    Raises:
        ServeError: the file can't be served, the address is taken, or the replicas can't start.
    """
    file = read_model_file(settings.model)

    def build() -> Any:
        from serve.app import build

        return build(settings.model_dump(mode="json"))

    where = f"http://{settings.host}:{settings.port}/v1"
    hosted = Hosted(
        name=APP_NAME,
        build=build,
        host=settings.host,
        port=settings.port,
        ray_address=settings.ray_address,
        cpus=settings.replicas * settings.threads,
        ready=f"Serving {settings.name or file.name} at {where} (Ctrl-C stops it)",
    )
    host(hosted, on_ready)
