"""llama.cpp by itself, through `xllamacpp` as its own manual uses it: the yardstick of `benchmarks.serving`.

Each line of stdin is a list of requests to answer at once, each line of stdout their times. Imports nothing of the
server.
"""

from __future__ import annotations

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import xllamacpp

CACHE_MB = 256
"""For prompts of earlier requests, as the server has it."""


def main() -> None:
    """Arguments: a GGUF file, slots, threads, the context of one slot."""
    path, slots, threads, context = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    params = xllamacpp.CommonParams()
    params.model.path = path
    params.n_parallel = slots
    params.n_ctx = context * slots
    params.cpuparams.n_threads = threads
    params.cpuparams_batch.n_threads = threads
    params.cache_ram_mib = CACHE_MB
    params.fit_params = False
    params.verbosity = -1
    params.ui = False
    server: Any = xllamacpp.Server(params)

    def answer(request: dict[str, Any]) -> list[float]:
        """Seconds to the first piece, and to the last."""
        begun, first = time.perf_counter(), 0.0

        def on_event(event: dict[str, Any]) -> bool:
            nonlocal first
            if "choices" not in event:
                raise RuntimeError(str(event))
            first = first or time.perf_counter() - begun
            return False

        server.handle_completions(request, on_event)
        return [first, time.perf_counter() - begun]

    with ThreadPoolExecutor(slots) as pool:
        for line in sys.stdin:
            begun = time.perf_counter()
            times = list(pool.map(answer, json.loads(line)))
            print("bare " + json.dumps({"times": times, "seconds": time.perf_counter() - begun}), flush=True)


if __name__ == "__main__":
    main()
