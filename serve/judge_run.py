"""`ferrotype judge`: hosts the reward farm's API. The sandbox is proved before Ray starts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from reward_farm.probe import probe
from serve.hosting import Hosted, host, say
from serve.settings import JudgeSettings

APP_NAME = "ferrotype-judge"


def run(settings: JudgeSettings, on_ready: Callable[[str], None] = say) -> None:
    """Serve until SIGINT or SIGTERM; call from the main thread.

    Args:
        on_ready: called with one line for the operator once requests are answered.

    Raises:
        RustcMissing, SandboxUnavailable: nothing can be judged on this machine.
        ServeError: the address is taken, or the replica can't start.
    """
    proved = probe(settings.farm)

    def build() -> Any:
        from serve.judge_app import build

        return build(settings.model_dump(mode="json"))

    where = f"http://{settings.host}:{settings.port}/v1/rust/check and /v1/rewards"
    hosted = Hosted(
        name=APP_NAME,
        build=build,
        host=settings.host,
        port=settings.port,
        ray_address=settings.ray_address,
        cpus=settings.farm.workers,
        ready=f"Judging with {proved.rustc} at {where} (Ctrl-C stops it)",
    )
    host(hosted, on_ready)
