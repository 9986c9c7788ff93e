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


class BadProblem(FarmError):
    """A document does not describe a problem."""


class IdConflict(FarmError):
    """An id was submitted twice, with different texts or problems."""


class Overloaded(FarmError):
    """The farm's queue is full. Wait for verdicts before more is submitted, or raise `max_queue`."""


class DeadlineExceeded(FarmError):
    """No verdict came within the time that the caller gave. The same id may be submitted again."""


class BreakerOpen(FarmError):
    """The farm fails at most of what it is given, and takes nothing more on until `retry_after` seconds have passed."""

    def __init__(self, reasons: str, retry_after: float) -> None:
        self.reasons, self.retry_after = reasons, retry_after
        super().__init__(
            f"the farm takes nothing on: {reasons}. `ferrotype doctor` says what this machine lacks; mend it, and the "
            f"farm tries again by itself with the first submission after {retry_after:.0f} s"
        )

    def __reduce__(self) -> tuple[type[BreakerOpen], tuple[str, float]]:
        return BreakerOpen, (self.reasons, self.retry_after)


class NotJudged(FarmError):
    """An `InfraFault`, for a caller who knows only rewards."""


class FarmClosed(FarmError):
    """A submission came after `close`."""


class SandboxFault(FarmError):
    """The sandbox failed while judging (not the candidate). Becomes an `InfraFault` verdict; never reaches a caller."""


class JailNotStarted(SandboxFault):
    """A jail could not be made, or not with all its layers; the program in it was never started."""

    def __init__(self, step: str, detail: str, errno: int | None = None) -> None:
        self.step, self.detail, self.errno = step, detail, errno
        number = "" if errno is None else f" (errno {errno})"
        super().__init__(f"the jail did not start: {step}: {detail}{number}")

    def __reduce__(self) -> tuple[type[JailNotStarted], tuple[str, str, int | None]]:
        return JailNotStarted, (self.step, self.detail, self.errno)
