"""Estimates for "k tries" from n samples of one task, without bias. Pure.

Drawing k of the n samples and counting is one estimate; these are its exact mean over all draws, as in Chen et al. 2021
("Evaluating Large Language Models Trained on Code", equation 1).
"""

from __future__ import annotations

from math import comb


def pass_at_k(samples: int, right: int, k: int) -> float:
    """The chance that at least one of k samples, drawn from `samples` of which `right` are right, is right.

    Raises:
        ValueError: there are fewer samples than k, of which nothing unbiased can be said.
    """
    if not 1 <= k <= samples or not 0 <= right <= samples:
        raise ValueError(f"pass@{k} of {right} right among {samples} samples is not defined")
    return 1.0 - comb(samples - right, k) / comb(samples, k)


def verified_at_k(samples: int, compiling: int, passing: int, k: int) -> float:
    """The chance that the sample which the compiler picks out of k drawn ones passes.

    It picks any of those that compile; if none does, what is left passes nothing. That is what compiler-verified
    serving gives, which has no hidden tests. (Picked by the tests themselves, it would be pass@k.)
    """
    if not passing <= compiling:
        raise ValueError(f"{passing} samples pass where only {compiling} compile")
    # Whichever of the compiling ones are drawn, each is as likely as any other to be the one picked.
    return pass_at_k(samples, compiling, k) * passing / compiling if compiling else 0.0
