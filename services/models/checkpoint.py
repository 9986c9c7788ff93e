"""A Hugging Face folder, sampled by vLLM: a run's checkpoint, or any other. Nothing starts before a question."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from rollout.types import Completion, GenerationRequest
from services.cluster import ray_cluster
from services.config import RunConfig
from services.models.model import Model, label_of
from trainer.evaluation.answers import sampled_by
from trainer.evaluation.engine import CheckpointEngine, checkpoint_sha256, model_facts
from trainer.evaluation.errors import EvaluationError
from trainer.evaluation.form import PromptForms, Wanted, find_markers, instruction
from trainer.evaluation.sample import PromptForm
from trainer.grpo.codec import Codec
from trainer.tasks.task import Task


def checkpoint_model(
    folder: Path, tasks: Sequence[Task], config: RunConfig, wanted: Wanted, max_tokens: int, why: str = "as asked"
) -> Model:
    """Raises EvaluationError if the folder is no model's."""
    sha256 = checkpoint_sha256(folder)
    try:
        codec = Codec(folder)
        context = int(json.loads((folder / "config.json").read_text())["max_position_embeddings"])
    except (OSError, ValueError, KeyError) as error:
        raise EvaluationError(
            f"{folder} can't be read as a model's folder ({error!r}): it needs a tokenizer, and "
            "max_position_embeddings in config.json."
        ) from error
    forms = PromptForms(wanted, codec.has_chat_template, find_markers(codec.is_token), why)
    longest = max(_tokens(codec, forms, task) for task in tasks)
    # No longer than the tasks need: a KV cache is divided by it.
    context = min(context, max(longest + max_tokens, 64))
    settings = config.rollout.model_copy(update={"max_model_len": context})
    engine = CheckpointEngine(settings, codec.eos_token_id)
    started = ExitStack()

    async def sampler(requests: Sequence[GenerationRequest]) -> AsyncIterator[Completion]:
        import ray

        if not ray.is_initialized():
            started.enter_context(ray_cluster(config.cluster))
        async for completion in engine.generate(folder, requests):
            yield completion

    async def close() -> None:
        await engine.close()
        started.close()

    return Model(
        label_of(f"{folder.absolute().parent.name}-{folder.absolute().name}"), str(folder), sha256,
        model_facts(folder), forms, sampled_by(sampler, codec, max_tokens, forms, context), close,
    )  # fmt: skip


def _tokens(codec: Codec, forms: PromptForms, task: Task) -> int:
    if forms.form_of(task) is PromptForm.CHAT:
        return len(codec.encode_chat(instruction(task)))
    return len(codec.encode(forms.text(task)))
