"""What can go wrong in the farm through no fault of a candidate. Each says what, where, and what to do."""

from __future__ import annotations


class FarmError(Exception):
    """Base of the farm's errors; its text is fit for a user."""


class RustcMissing(FarmError):
    """No usable rustc was found."""


class SandboxUnavailable(FarmError):
    """A layer of the sandbox can't be built here. The farm then judges nothing: it never runs code unsandboxed."""

    def __init__(self, layer: str, detail: str, remedy: str, errno: int | None = None) -> None:
        self.layer, self.detail, self.remedy, self.errno = layer, detail, remedy, errno
        number = "" if errno is None else f" (errno {errno})"
        super().__init__(f"the sandbox layer '{layer}' is unavailable{number}: {detail}. To fix it: {remedy}")

    def __reduce__(self) -> tuple[type[SandboxUnavailable], tuple[str, str, str, int | None]]:
        # An exception is unpickled from its text alone unless it says otherwise, and workers raise this one.
        return SandboxUnavailable, (self.layer, self.detail, self.remedy, self.errno)


class UnsupportedType(FarmError):
    """A problem names a Rust type that has no wire form."""


class BadValue(FarmError):
    """A case holds a value that its Rust type can't hold."""


class Overloaded(FarmError):
    """The farm's queue is full. Wait for verdicts before more is submitted, or raise `max_queue`."""


class FarmClosed(FarmError):
    """A submission came after `close`."""


class SandboxFault(FarmError):
    """The sandbox failed while judging (not the candidate). Becomes an `InfraFault` verdict; never reaches a caller."""
