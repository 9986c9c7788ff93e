"""What can go wrong with rollouts, said to a person: what was wrong, where, and what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


class RolloutError(Exception):
    """Base of every error that this package raises on purpose."""


class ModelFolderInvalid(RolloutError):
    """The folder given to `RolloutPool.start` isn't a Hugging Face model folder."""


class TransportUnavailable(RolloutError):
    """The configured weight transport can't be used here."""


class EngineStartFailed(RolloutError):
    """A vLLM engine did not come up; the text ends with the engine's own words."""


class RequestRefused(RolloutError):
    """A generation request that no engine could serve. Raised before anything is sampled."""


class RequestFailed(RolloutError):
    """An engine that goes on serving could not serve this one request; the text ends with its own words."""


class NoHealthyReplica(RolloutError):
    """No replica holds proved weights, so no prompt can be served. A weight push that is proved brings them back."""

    def __init__(self, replicas: Mapping[int, str]) -> None:
        states = "; ".join(f"replica {index} is {state}" for index, state in replicas.items())
        super().__init__(f"no rollout replica may serve: {states}. Push the current weights again to revive them.")


class NoReplicaLeft(RolloutError):
    """Every replica is RETIRED: each died more often than its budget of restarts allows."""

    def __init__(self, replicas: Mapping[int, str]) -> None:
        states = "; ".join(f"replica {index} is {state}" for index, state in replicas.items())
        super().__init__(
            f"no rollout replica is left: {states}. Mend the cause (memory is the commonest: `dmesg`, "
            "rollout.kv_cache_mb) and run the same command again, or allow more by rollout.max_restarts."
        )


class ReplicaDied(RolloutError):
    """The actor or its engine process is gone."""


class PushFailed(RolloutError):
    """Weights that can't be pushed, or a phase of a push that raised or did not end within its deadline."""


class PushUnproved(RolloutError):
    """What the engine holds after a push isn't what the learner sent."""

    def __init__(self, differences: Sequence[str]) -> None:
        shown = ", ".join(differences[:4]) + (f" and {len(differences) - 4} more" if len(differences) > 4 else "")
        super().__init__(
            f"the engine does not hold what was sent: {shown}. If the weights changed while they were pushed, "
            "push a copy; else push again."
        )


class CanaryFailed(PushUnproved):
    """An engine holds what was sent, and computes something else with it."""

    def __init__(self, words: str) -> None:
        RolloutError.__init__(
            self, f"{words}. Pushing again won't help: another build of vLLM, dtype or attention backend may."
        )


class PoolClosed(RolloutError):
    """`close` was called while work was under way, or before it was asked for."""
