"""Sends a run to its storage while it goes on, and once more at its end. Decides nothing about files."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from services.errors import StorageError, TakenOver
from services.run_folder import RunFolder

INTERVAL_SECONDS = 60.0
LAST_TRIES, PAUSE_SECONDS = 4, 15.0
"""At a run's end, for a storage that doesn't answer just then."""

Say = Callable[[str], None]


def stored(url: str | None, run: RunFolder, say: Say) -> AbstractContextManager[None]:
    """Nothing without a URL; else the run is fetched if it is there and the folder empty, and kept there from now on.

    Raises:
        StorageError: the storage can't be used; the run has gone on elsewhere; or, at the end, its last state could
            not be sent: it is in the run's folder then.
    """
    return _published(url, run, say) if url else nullcontext()


@contextmanager
def _published(url: str, run: RunFolder, say: Say) -> Iterator[None]:
    from services.storage import Storage

    storage = Storage(url, run.root)
    say(f"storage {url}: {'the run was fetched' if storage.take() else 'the run is kept there'}")
    ended = threading.Event()
    thread = threading.Thread(target=_keep_sending, args=(storage.publish, ended, say), name="publisher", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        _send_last(storage.publish, run, say)


def _keep_sending(publish: Callable[[], int], ended: threading.Event, say: Say) -> None:
    failing = False
    while not ended.wait(INTERVAL_SECONDS):
        try:
            publish()
            failing = False
        except TakenOver as error:
            say(f"storage: {error}")
            os.kill(os.getpid(), signal.SIGTERM)
            return
        except StorageError as error:
            if not failing:
                say(f"storage: {error} It is tried again every {INTERVAL_SECONDS:.0f} s; the run goes on.")
            failing = True


def _send_last(publish: Callable[[], int], run: RunFolder, say: Say) -> None:
    for left in reversed(range(LAST_TRIES)):
        try:
            publish()
            return
        except StorageError as error:
            if isinstance(error, TakenOver) or not left:
                raise StorageError(f"{error} The run's last state is in {run.root}.") from error
            say(f"storage: {error} Tried again in {PAUSE_SECONDS:.0f} s.")
            threading.Event().wait(PAUSE_SECONDS)
