"""Where answers come from: a function from plans to generations, each as it ends. This one asks in token ids.

Others (a GGUF file, an endpoint) are wired by whoever may import what serves them. Judges nothing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

from rollout.types import Completion, GenerationRequest
from trainer.evaluation.form import PromptForms, instruction
from trainer.evaluation.sample import Generation, PromptForm, SamplePlan

if TYPE_CHECKING:  # it brings in transformers, which not every source of answers needs
    from trainer.grpo.codec import Codec

Answers: TypeAlias = Callable[[Sequence[SamplePlan]], AsyncIterator[Generation]]
"""Yields each plan's generation as it ends, in any order. It is not called when nothing is to be made."""

Sampler: TypeAlias = Callable[[Sequence[GenerationRequest]], AsyncIterator[Completion]]
"""Yields each request's completion as it ends: `RolloutPool.generate`."""


def generation(
    plan: SamplePlan, text: str, *, tokens: int = 0, truncated: bool = False, latency_ms: float = 0.0
) -> Generation:
    """What came of a plan."""
    return Generation(
        plan.text_key, plan.task.id, plan.mode, plan.index, text, tokens, truncated, latency_ms, plan.form
    )


def sampled_by(
    sampler: Sampler,
    codec: Codec,
    max_tokens: int,
    forms: PromptForms | None = None,
    context: int | None = None,
) -> Answers:
    """Answers of a sampler. A prompt that leaves no room in `context` tokens gets an empty, cut off answer: that the
    model can't read a task is its fault, and no reason not to measure the others."""
    forms = forms or PromptForms()

    def prompt_ids(plan: SamplePlan) -> tuple[int, ...]:
        if plan.form is PromptForm.CHAT:
            return codec.encode_chat(instruction(plan.task))
        return codec.encode(forms.text(plan.task))

    async def answers(plans: Sequence[SamplePlan]) -> AsyncIterator[Generation]:
        by_key = {plan.text_key: plan for plan in plans}
        requests = []
        for plan in by_key.values():
            ids = prompt_ids(plan)
            room = max_tokens if context is None else min(max_tokens, context - len(ids))
            if room < 1:
                yield generation(plan, "", truncated=True)
            else:
                requests.append(
                    GenerationRequest(plan.text_key, ids, room, plan.temperature, plan.seed, logprobs=False)
                )
        async for completion in sampler(requests) if requests else _nothing():
            yield generation(
                by_key[completion.id],
                codec.decode(completion.token_ids),
                tokens=len(completion.token_ids),
                truncated=completion.finish_reason == "length",
                latency_ms=completion.seconds * 1000,
            )

    return answers


async def _nothing() -> AsyncIterator[Completion]:
    return
    yield
