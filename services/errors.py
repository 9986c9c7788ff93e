"""Errors an operator sees: what is wrong, where, what to do. `explain` is the one boundary to the packages' errors.

Only the command line turns an error into an exit code; nothing here prints.
"""

from __future__ import annotations

import errno
import importlib
from collections.abc import Iterator

PACKAGE_BASES = (
    "reward_farm.errors:FarmError",
    "rollout.errors:RolloutError",
    "trainer.errors:TrainerError",
    "trainer.corpus.errors:CorpusError",
    "serve.errors:ServeError",
)
"""The packages' user-facing error bases. Named, not imported: an error is looked up only when one has happened."""


class UserError(Exception):
    """Base: its text is the whole message."""


class ConfigError(UserError):
    """The configuration is wrong or does not fit the run that it is used on."""


class RunFolderError(UserError):
    """The run folder can't be used: held by another process, unreadable, or not a run."""


class MachineError(UserError):
    """The machine lacks something that a run needs."""


class PhaseError(UserError):
    """A phase ended without its result."""


class ClusterError(UserError):
    """A Ray cluster can't be reached, or doesn't do what it is asked."""


class StorageError(UserError):
    """A run's storage can't be used."""


class TakenOver(StorageError):
    """Another run has taken over the storage of this one."""


class Interrupted(UserError):
    """The operator stopped the run."""


def explain(error: BaseException) -> str | None:
    """The message for an error of the operator's or the machine's making, or None if the fault is the program's."""
    if isinstance(error, (UserError, *_package_bases())):
        return str(error)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        where = f" while writing {error.filename}" if error.filename else ""
        return f"the disk is full{where}. Free some space and run the same command again: it goes on where it stopped."
    if isinstance(error, PermissionError) and error.filename:
        return f"no permission for {error.filename}. Change its owner or mode, or take another folder."
    return None


def _package_bases() -> Iterator[type[BaseException]]:
    for place in PACKAGE_BASES:
        module, name = place.split(":")
        yield getattr(importlib.import_module(module), name)
