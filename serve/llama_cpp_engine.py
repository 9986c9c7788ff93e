"""llama.cpp in this process: one GGUF file, a few slots that are decoded together in one batch.

Calls block and may come from several threads at once; llama.cpp has its own scheduler. Prompts go in as token ids.
Never knows of HTTP requests, queues or OpenAI's fields.
"""

from __future__ import annotations

import json
import secrets
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import xllamacpp

from serve.engine import SEEDS, Delta, Sampling, TokenLogprob
from serve.errors import EngineError
from serve.model_file import ModelFile
from serve.settings import ServeSettings

LOOPBACK_SECONDS = 30.0
"""Tokenising a megabyte takes well under a second; past this, llama.cpp hangs."""


class LlamaCppEngine:
    """A loaded model."""

    def __init__(self, file: ModelFile, settings: ServeSettings) -> None:
        """Load the file; takes about a second for each gigabyte.

        Raises:
            EngineError: llama.cpp refuses the file.
        """
        self.file = file
        self.context_length = settings.context_length or file.context_length
        params = xllamacpp.CommonParams()
        params.model.path = str(file.path)
        params.n_parallel = settings.slots
        params.n_ctx = self.context_length * settings.slots
        params.cpuparams.n_threads = settings.threads
        params.cpuparams_batch.n_threads = settings.threads
        params.cache_ram_mib = settings.prompt_cache_mb
        params.check_tensors = True
        params.fit_params = False
        params.verbosity = -1
        params.ui = False
        params.endpoint_metrics = True
        # llama.cpp listens on a loopback port of its own; only this process may use it.
        self._key = secrets.token_urlsafe()
        params.api_keys = [self._key]
        try:
            self._server: Any = xllamacpp.Server(params)
        except RuntimeError as error:
            raise EngineError(
                f"llama.cpp can't load {file.path} (architecture {file.architecture}, context {self.context_length}, "
                f"{settings.slots} slots): the file is damaged, of an unknown kind, or too large for the memory."
            ) from error

    def tokenize(self, text: str, special: bool = True) -> list[int]:
        """`text` as token ids; `special` tokens written out in it are taken as such, or else as the text they are."""
        return [int(token) for token in self._post("/tokenize", {"content": text, "parse_special": special})["tokens"]]

    def detokenize(self, ids: Sequence[int]) -> str:
        """The text of token ids.

        Raises:
            EngineError: an id is none of the vocabulary's.
        """
        if not all(0 <= token < self.file.vocabulary_size for token in ids):
            raise EngineError(f"Token ids are 0 to {self.file.vocabulary_size - 1}.", 400)
        return str(self._post("/detokenize", {"tokens": list(ids)})["content"])

    def render_chat(self, messages: Sequence[Mapping[str, str]]) -> str:
        """The prompt that the file's own chat template makes of `messages` (role and content).

        Raises:
            EngineError: the template refuses them.
        """
        return str(self._post("/apply-template", {"messages": [dict(message) for message in messages]})["prompt"])

    def generate(self, prompt_ids: Sequence[int], sampling: Sampling, on_delta: Callable[[Delta], bool]) -> None:
        """Complete `prompt_ids`, calling `on_delta` in this thread for each piece; it returns False to stop early.

        Raises:
            EngineError: llama.cpp refuses the request or fails at it.
        """
        failure: list[dict[str, Any]] = []

        def on_event(event: dict[str, Any]) -> bool:
            if "choices" not in event:
                failure.append(event.get("error", event))
                return True
            return not on_delta(_delta(event))

        self._server.handle_completions(_request(prompt_ids, sampling), on_event)
        if failure:
            raise EngineError(str(failure[0].get("message", failure[0])), int(failure[0].get("code", 500)))

    def check(self) -> None:
        """Return if llama.cpp's scheduler answers; it hangs or raises otherwise."""
        self._server.handle_metrics()

    def _post(self, path: str, body: dict[str, Any]) -> Any:
        request = urllib.request.Request(
            self._server.listening_address + path,
            data=json.dumps(body).encode(),
            headers={"Content-Type": "application/json", "Authorization": f"Bearer {self._key}"},
        )
        try:
            with urllib.request.urlopen(request, timeout=LOOPBACK_SECONDS) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            detail = json.load(error)
            raise EngineError(str(detail.get("error", {}).get("message", detail)), error.code) from error


def _request(prompt_ids: Sequence[int], sampling: Sampling) -> dict[str, Any]:
    """llama.cpp's own defaults (temperature 0.8, top_k 40, min_p 0.05) are not OpenAI's: every field is sent."""
    return {
        "prompt": list(prompt_ids),
        "stream": True,
        "stream_options": {"include_usage": True},
        "cache_prompt": True,
        "max_tokens": sampling.max_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "min_p": sampling.min_p,
        "presence_penalty": sampling.presence_penalty,
        "frequency_penalty": sampling.frequency_penalty,
        "repeat_penalty": sampling.repeat_penalty,
        "logit_bias": [[token, bias] for token, bias in sampling.logit_bias.items()],
        "stop": list(sampling.stop),
        "n_probs": 0 if sampling.logprobs is None else max(1, sampling.logprobs),
        "seed": SEEDS if sampling.seed is None else sampling.seed % SEEDS,
    }


def _delta(event: dict[str, Any]) -> Delta:
    choice, usage = event["choices"][0], event.get("usage") or {}
    return Delta(
        text=choice["text"],
        logprobs=tuple(_token_logprob(token) for token in (choice.get("logprobs") or {}).get("content", ())),
        finish_reason=choice["finish_reason"],
        prompt_tokens=usage.get("prompt_tokens", 0),
        completion_tokens=usage.get("completion_tokens", 0),
    )


def _token_logprob(token: dict[str, Any]) -> TokenLogprob:
    top = tuple(_token_logprob(other) for other in token.get("top_logprobs", ()))
    return TokenLogprob(token["token"], tuple(token["bytes"]), token["logprob"], top)
