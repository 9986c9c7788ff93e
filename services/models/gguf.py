"""A GGUF file, decoded by llama.cpp in this process, a few answers at once."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from serve.engine import Delta, Sampling
from serve.errors import EngineError
from serve.llama_cpp_engine import LlamaCppEngine
from serve.model_file import read_model_file
from serve.settings import ServeSettings
from services.models.model import STOPS, Model, label_of
from trainer.evaluation.answers import generation
from trainer.evaluation.evaluation import ModelFacts
from trainer.evaluation.form import PromptForms, Wanted, find_markers, instruction
from trainer.evaluation.sample import Generation, PromptForm, SamplePlan

SLOTS = 8
"""Answers decoded together. More only share the same cores."""


def gguf_model(path: Path, wanted: Wanted, max_tokens: int, threads: int) -> Model:
    """Raises ModelFileError or EngineError where the file can't be used."""
    file = read_model_file(path)
    engine = LlamaCppEngine(file, ServeSettings(model=path, slots=SLOTS, threads=threads))
    markers = find_markers(lambda marker: len(engine.tokenize(marker)) == 1)
    forms = PromptForms(wanted, file.has_chat_template, markers)
    threads_of_slots = ThreadPoolExecutor(SLOTS)

    def answer(plan: SamplePlan) -> Generation:
        if plan.form is PromptForm.CHAT:
            text = engine.render_chat([{"role": "user", "content": instruction(plan.task)}])
        else:
            text = forms.text(plan.task)
        ids = engine.tokenize(text)
        room = min(max_tokens, engine.context_length - len(ids))
        if room < 1:
            return generation(plan, "", truncated=True)
        pieces: list[Delta] = []

        def take(delta: Delta) -> bool:
            pieces.append(delta)
            return True

        begin = time.perf_counter()
        stop = STOPS if plan.form is PromptForm.BASE else ()
        engine.generate(ids, Sampling(room, plan.temperature, seed=plan.seed, stop=stop), take)
        return generation(
            plan,
            "".join(piece.text for piece in pieces),
            tokens=pieces[-1].completion_tokens if pieces else 0,
            truncated=bool(pieces) and pieces[-1].finish_reason == "length",
            latency_ms=(time.perf_counter() - begin) * 1000,
        )

    async def answers(plans: Sequence[SamplePlan]) -> AsyncIterator[Generation]:
        loop = asyncio.get_running_loop()
        asked = [loop.run_in_executor(threads_of_slots, answer, plan) for plan in plans]
        try:
            for answered in asyncio.as_completed(asked):
                yield await answered
        except EngineError as error:
            raise EngineError(f"llama.cpp failed on {path}: {error}") from error
        finally:
            for each in asked:
                each.cancel()

    async def close() -> None:
        threads_of_slots.shutdown(wait=True, cancel_futures=True)

    with path.open("rb") as opened:
        sha256 = hashlib.file_digest(opened, "sha256").hexdigest()
    facts = ModelFacts(kind="gguf", tokenizer_sha256=sha256, bytes=file.bytes)  # the tokenizer is in the file
    return Model(label_of(path.stem), str(path), sha256, facts, forms, answers, close)
