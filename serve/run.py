"""`ferrotype serve`: hosts one model. What a person can get wrong is found before Ray starts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from reward_farm.probe import probe
from serve.engines import read_model
from serve.hosting import Hosted, host, say
from serve.settings import ServeSettings

APP_NAME = "ferrotype"
LOOPBACK = ("127.0.0.1", "localhost", "::1")


def run(settings: ServeSettings, on_ready: Callable[[str], None] = say) -> None:
    """Serve until SIGINT or SIGTERM; call from the main thread.

    Args:
        on_ready: called with one line for the operator once requests are answered.

    Raises:
        RustcMissing, SandboxUnavailable: answers shall be checked, and nothing can be on this machine.
        ServeError: the file can't be served, the address is taken, or the replicas can't start.
    """
    file = read_model(settings.model)
    for path in settings.models.values():
        read_model(path)
    if settings.farm is not None:
        probe(settings.farm)

    def build() -> Any:
        from serve.app import build

        return build(settings.model_dump(mode="json"))

    where = f"http://{settings.host}:{settings.port}/v1"
    names = ", ".join([settings.name or file.name, *settings.models])
    asked = "" if settings.api_keys or settings.host in LOOPBACK else ", to everyone and without an API key"
    hosted = Hosted(
        name=APP_NAME,
        build=build,
        host=settings.host,
        port=settings.port,
        ray_address=settings.ray_address,
        cpus=max(settings.replicas, settings.max_replicas or 0) * settings.threads
        + (settings.farm.workers if settings.farm else 0),
        ready=f"Serving {names} at {where}{asked} (Ctrl-C stops it)",
    )
    host(hosted, on_ready)
