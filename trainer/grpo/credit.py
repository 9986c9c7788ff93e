"""Who of a group is learned from, and how much: rewards, punishment of overlong completions, advantages. Pure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trainer.grpo.advantage import group_advantages
from trainer.grpo.group import Group
from trainer.grpo.settings import GrpoSettings


def credit(group: Group, settings: GrpoSettings) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The advantages (G,), and which completions carry a gradient (G,)."""
    lengths_G = np.array([len(sample.completion.token_ids) for sample in group.samples])
    rewards_G = group.rewards_G
    trained_G = group.valid_G & (lengths_G > 0)
    if settings.overlong == "punish":
        rewards_G = rewards_G - overlong_punishment(lengths_G, settings)
    elif settings.overlong == "filter":
        trained_G &= np.array([sample.completion.finish_reason != "length" for sample in group.samples])
    advantages_G = group_advantages(rewards_G, group.valid_G, settings.advantage)
    if not settings.kl_coefficient:
        trained_G &= advantages_G != 0.0
    return advantages_G, trained_G


def teaches(group: Group, settings: GrpoSettings) -> bool:
    """Whether any completion of the group was better than its siblings and is learned from."""
    advantages_G, trained_G = credit(group, settings)
    return bool(advantages_G[trained_G].any())


def overlong_punishment(lengths_G: NDArray[np.int64], settings: GrpoSettings) -> NDArray[np.float64]:
    """Points taken: none up to `overlong_tokens` before the limit, then linearly up to `overlong_penalty` at the limit.

    DAPO's soft overlong punishment (Yu et al. 2025, arXiv 2503.14476, equation 13), which takes up to 1 from rewards of
    -1 and 1. Its other answer, overlong filtering, leaves such completions out of the loss.
    """
    begin = settings.max_completion_tokens - settings.overlong_tokens
    return settings.overlong_penalty * np.clip((lengths_G - begin) / settings.overlong_tokens, 0.0, 1.0)
