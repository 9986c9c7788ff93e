"""Says in words what a verdict depends on besides the completion, so that results of other judges are told apart."""

from __future__ import annotations

from reward_farm.settings import FarmSettings
from reward_farm.toolchain import find_toolchain


def describe_judge(settings: FarmSettings) -> str:
    """What a verdict depends on besides the completion, in words.

    Raises:
        RustcMissing: there is no usable rustc.
    """
    lints = ", with clippy" if settings.clippy else ""
    return f"{find_toolchain(settings).version}, edition {settings.edition}, {settings.weights!r}{lints}"
