"""Environment variables that a rollout actor's process needs before torch and vLLM are imported. Nothing else."""

from __future__ import annotations

from rollout.settings import RolloutSettings


def engine_environment(settings: RolloutSettings) -> dict[str, str]:
    """Variables for Ray's `runtime_env`. Each is here for the reason beside it."""
    return {
        # The engine core runs the model itself. A worker process of its own would cost a core's worth of polling.
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        # `auto` reserves one core a rank, which is half of a small machine.
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        # torch's OpenMP spins while it waits: threads beyond the idle cores make a busy machine ten times slower.
        "OMP_NUM_THREADS": str(settings.threads),
        # The first request with log-probabilities would compile C++ for 10 to 16 seconds to save nothing after that.
        "TORCHDYNAMO_DISABLE": "1",
        # A model is a folder here: nothing may be fetched or reported behind the user's back.
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        # Below ERROR, vLLM prints a line for each layer at every weight update.
        "VLLM_LOGGING_LEVEL": "ERROR",
    }
