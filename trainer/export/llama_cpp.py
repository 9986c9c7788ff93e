"""llama.cpp as a witness: what it reads, and what it says comes next, from an exported file.

One thread and token ids in and out, so that its answers can be laid beside torch's. It serves nobody: `serve/` does.
"""

from __future__ import annotations

import json
import secrets
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import xllamacpp

from trainer.export.errors import ExportError

REQUEST_SECONDS = 300.0
"""A batch of prompts takes seconds; past this, llama.cpp hangs."""


FORCED = 1e6
"""A logit bias that makes any token the likeliest; llama.cpp reports log-probabilities from before it is added."""


@dataclass(frozen=True, slots=True)
class NextToken:
    """What llama.cpp finds likely at one place of a text."""

    logprob: float
    """Of the token that the text goes on with."""
    likeliest: tuple[tuple[int, float], ...]
    """Tokens and their log-probabilities, likeliest first."""


class LlamaCpp:
    """One GGUF file, loaded. A context manager: leaving it frees the model."""

    def __init__(self, path: Path, context_length: int) -> None:
        """Load `path` for sequences of up to `context_length` tokens.

        Raises:
            ExportError: llama.cpp refuses the file.
        """
        params = xllamacpp.CommonParams()
        params.model.path = str(path)
        params.n_ctx = context_length
        params.n_parallel = 1
        # More threads than free cores make llama.cpp spin at its barriers; a check is never in a hurry.
        params.cpuparams.n_threads = 1
        params.cpuparams_batch.n_threads = 1
        params.verbosity = -1
        params.fit_params = False
        params.warmup = False
        params.check_tensors = True
        params.cache_ram_mib = 0
        params.ui = False
        # Its loopback port is only ours.
        self._key = secrets.token_urlsafe()
        params.api_keys = [self._key]
        try:
            self._server: Any = xllamacpp.Server(params)
        except RuntimeError as error:
            raise ExportError(
                f"llama.cpp can't load {path}. Export it again; if that fails too, run `file {path}`."
            ) from error

    def __enter__(self) -> LlamaCpp:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server = None

    def greedy(self, prompts: Sequence[Sequence[int]], tokens: int) -> list[list[int]]:
        """For each prompt the `tokens` most likely tokens, each given those before it; fewer if the text ends, and then
        the last is the end-of-text token."""
        body = {"prompt": [list(ids) for ids in prompts], "n_predict": tokens, "temperature": 0, "return_tokens": True}
        answers = self._post("/completion", body)
        return [
            [int(token) for token in one["tokens"]] for one in (answers if isinstance(answers, list) else [answers])
        ]

    def read(self, ids: Sequence[int], start: int, likeliest: int) -> list[NextToken]:
        """Read a text from token `start` on: what llama.cpp expects at each place, given all tokens before it."""
        places = []
        for end in range(start, len(ids)):
            body = {
                "prompt": list(ids[:end]), "n_predict": 1, "temperature": 0, "n_probs": likeliest,
                "logit_bias": [[ids[end], FORCED]],
            }  # fmt: skip
            [place] = self._post("/completion", body)["completion_probabilities"]
            top = tuple((int(one["id"]), float(one["logprob"])) for one in place["top_logprobs"])
            places.append(NextToken(float(place["logprob"]), top))
        return places

    def tokenize(self, text: str) -> list[int]:
        """`text` as token ids; special tokens written out in it are taken as such."""
        return [int(token) for token in self._post("/tokenize", {"content": text, "parse_special": True})["tokens"]]

    def _post(self, path: str, body: dict[str, Any]) -> Any:
        # The in-process calls return text; only the native endpoints give every token's id.
        request = urllib.request.Request(
            self._server.listening_address + path,
            data=json.dumps(body).encode(),
            headers={"Content-Type": "application/json", "Authorization": f"Bearer {self._key}"},
        )
        try:
            with urllib.request.urlopen(request, timeout=REQUEST_SECONDS) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise ExportError(f"llama.cpp refused the check: {error.read().decode(errors='replace')[:500]}") from error
