"""Hosts one Ray Serve application from a terminal, and blocks until SIGINT or SIGTERM.

    check the address ─► Ray (here, or a cluster's) ─► Serve's proxy ─► replicas ─► ready ─► signal ─► stop

However it ends, it takes down what it started: a Ray that it started goes with it, and from a cluster it removes only
its own application. Knows nothing of what the application does.
"""

from __future__ import annotations

import logging
import os
import re
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

from serve.errors import AddressError, EngineError, ServeError

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)

OBJECT_STORE_BYTES = 100 * 1024 * 1024
"""Ray's minimum is 75 MiB; requests and answers pass beside the object store."""


@dataclass(frozen=True, slots=True)
class Hosted:
    """What is hosted, and where."""

    name: str
    build: Callable[[], Any]
    """Gives the Serve application. Called once Ray is up; imports what is slow to import."""
    host: str
    port: int
    ray_address: str | None
    cpus: int
    """For replicas and what they start, where Ray is started here."""
    ready: str
    """The line for the operator once requests are answered."""


def say(line: str) -> None:
    """To the operator, at once: a pipe would keep the line until the server ends."""
    print(line, flush=True)


def host(hosted: Hosted, on_ready: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM; call from the main thread.

    Raises:
        ServeError: the address is taken, or the replicas can't start.
    """
    address = hosted.ray_address or os.environ.get("RAY_ADDRESS")
    if not address:
        _check_address(hosted.host, hosted.port)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    # Ray's workers step back for everything else by default, which is for batch work: somebody waits for an answer.
    os.environ.setdefault("RAY_worker_niceness", "0")
    # From Serve's proxy to a replica by gRPC: a request takes some 2 ms less than as a call of an actor.
    os.environ.setdefault("RAY_SERVE_USE_GRPC_BY_DEFAULT", "1")

    # Imported here: they take seconds, and what is wrong should be said at once.
    import ray
    from ray import serve as ray_serve

    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    with _signals_raise():
        try:
            if address:
                ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
            else:
                ray.init(
                    # Without it Ray would join any cluster that was ever started from this machine's shell.
                    address="local",
                    num_cpus=hosted.cpus + 1,
                    object_store_memory=OBJECT_STORE_BYTES,
                    include_dashboard=False,
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                )
            _raise_on_signals()  # Ray has set a SIGTERM handler of its own
            logs = {"log_level": "ERROR", "enable_access_log": False}
            http = {"host": hosted.host, "port": hosted.port}
            ray_serve.start(proxy_location="HeadOnly", http_options=http, logging_config=logs)
            ray_serve.run(hosted.build(), name=hosted.name, route_prefix="/", logging_config=logs)
            _raise_on_signals()
            on_ready(hosted.ready)
            threading.Event().wait()
        except (_Stopped, SystemExit):  # Ray's own SIGTERM handler, while it starts, exits
            pass
        except (RuntimeError, ConnectionError, ValueError) as error:
            cause = _replica_failure(hosted.name) if ray.is_initialized() else None
            raise ServeError(
                f"the server could not start: {cause or str(error).strip() or type(error).__name__} "
                "(more is in /tmp/ray/session_latest/logs/serve)"
            ) from error
        finally:
            for number in STOP_SIGNALS:
                signal.signal(number, signal.SIG_IGN)  # stopping is under way
            if ray.is_initialized():
                ray_serve.delete(hosted.name)  # lets answers that are under way end, for some seconds
                ray.shutdown()


def _replica_failure(name: str) -> str | None:
    """Why the replicas did not start, in their own words."""
    from ray import serve as ray_serve

    application = ray_serve.status().applications.get(name)
    messages = [deployment.message for deployment in application.deployments.values()] if application else []
    causes = re.findall(rf"{EngineError.__name__}: (.+)", "\n".join(messages))
    return str(causes[-1]) if causes else None


class _Stopped(BaseException):
    """SIGINT or SIGTERM came."""


def _on_signal(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
    raise _Stopped


def _raise_on_signals() -> None:
    for number in STOP_SIGNALS:
        signal.signal(number, _on_signal)


@contextmanager
def _signals_raise() -> Iterator[None]:
    """Within, SIGINT and SIGTERM raise `_Stopped` in the main thread."""
    before = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    _raise_on_signals()
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _check_address(host: str, port: int) -> None:
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            # As servers do, so that a port that was just left doesn't count as taken.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise AddressError(
            f"can't listen on {host}:{port}: {error.strerror or error}. "
            "Stop what uses it, or give another --port or --host."
        ) from error
