"""Advantages: how much better each completion of a group was than its siblings. Pure arithmetic; knows no tensors.

A completion without a reward (a fault of ours) is in no baseline and has advantage 0. A group whose rewards are all the
same teaches nothing: all its advantages are 0.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trainer.grpo.settings import AdvantageName

SMALLEST_SPREAD = 1e-4
"""Rewards (0 to 30) closer than this are the same; also keeps the division by the standard deviation finite."""


def group_advantages(
    rewards_G: NDArray[np.float64], valid_G: NDArray[np.bool_], name: AdvantageName
) -> NDArray[np.float64]:
    """The advantages (G,) of one group.

    Args:
        rewards_G: rewards; ignored where `valid_G` is false.
        valid_G: which completions have a reward.
        name: `mean_std`, reward minus mean, over the (population) standard deviation: GRPO (Shao et al. 2024, arXiv
            2402.03300). `mean`, reward minus mean: Dr. GRPO (Liu et al. 2025, arXiv 2503.20783), which showed that the
            division favours tasks that are nearly solved or nearly hopeless. `leave_one_out`, reward minus the mean of
            the others: RLOO (Ahmadian et al. 2024, arXiv 2402.14740), an unbiased baseline. `max_rl`, reward minus
            mean, over the mean: MaxRL (Tajwar et al. 2026, arXiv 2602.02710). Where rewards are 0 or 1, its gradient's
            expectation is that of log p(success) with the series -(1-p)^k / k broken off after G - 1 terms, and hard
            tasks weigh more; for our graded rewards it is the same formula, of which the paper proves nothing. Rewards
            must not be negative.
    """
    advantages_G = np.zeros(len(rewards_G))
    valid = rewards_G[valid_G]
    if len(valid) < 2 or np.ptp(valid) < SMALLEST_SPREAD:
        return advantages_G
    centred = valid - valid.mean()
    if name == "mean_std":
        centred /= valid.std() + SMALLEST_SPREAD
    elif name == "max_rl":
        centred /= valid.mean()
    elif name == "leave_one_out":
        centred *= len(valid) / (len(valid) - 1)
    advantages_G[valid_G] = centred
    return advantages_G
