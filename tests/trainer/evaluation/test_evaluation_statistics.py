"""Intervals and p-values against closed forms, known values and simulation."""

from math import comb

import numpy as np
import pytest

from trainer.evaluation.statistics import paired_difference, ratio_intervals, sign_flip_p, wilson_interval


def test_wilson_matches_published_values():
    # Newcombe 1998, table I (method 3): 81 of 263, 15 of 148, 0 of 20, 1 of 29.
    for successes, trials, low, high in [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ]:
        interval = wilson_interval(successes, trials)
        assert (interval.low, interval.high) == pytest.approx((low, high), abs=5e-5)


def test_bootstrap_of_single_samples_has_the_binomial_width():
    outcomes = np.repeat([1.0, 0.0], [120, 280])[:, None]
    interval = ratio_intervals(outcomes, np.ones((400, 1)), seed=1, resamples=20_000)[0]
    half = 1.96 * np.sqrt(0.3 * 0.7 / 400)
    assert (interval.low, interval.high) == pytest.approx((0.3 - half, 0.3 + half), abs=0.004)


def test_bootstrap_keeps_samples_of_a_task_together():
    # 40 tasks whose 10 samples all agree carry the information of 40 samples, not of 400.
    agree = np.repeat([10.0, 0.0], 20)[:, None]
    interval = ratio_intervals(agree, np.full((40, 1), 10.0), seed=1, resamples=20_000)[0]
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * np.sqrt(0.25 / 40), rel=0.05)


def test_bootstrap_is_the_same_for_the_same_seed_and_silent_on_nothing():
    sums, counts = np.array([[1.0, 0.0], [3.0, 0.0]]), np.array([[4.0, 0.0], [4.0, 0.0]])
    first, again = (ratio_intervals(sums, counts, seed=5) for _ in range(2))
    assert first == again
    assert first[1] is None
    assert ratio_intervals(np.zeros((0, 1)), np.zeros((0, 1)), seed=0) == [None]


def test_intervals_cover_the_truth_as_often_as_they_say():
    rng = np.random.default_rng(3)
    hits, trials, tasks, samples = 0, 400, 60, 4
    for trial in range(trials):
        # Difficulty differs from task to task: Beta(1.2, 1.8), mean 0.4.
        passed = rng.binomial(samples, rng.beta(1.2, 1.8, size=tasks)).astype(float)[:, None]
        interval = ratio_intervals(passed, np.full((tasks, 1), samples), seed=trial, resamples=800)[0]
        hits += interval.low <= 0.4 <= interval.high
    assert 0.92 <= hits / trials <= 0.98


def test_sign_flips_of_binary_differences_are_mcnemars_exact_test():
    for gained, lost in [(9, 1), (6, 5), (4, 0), (1, 1)]:
        differences = np.concatenate([np.ones(gained), -np.ones(lost), np.zeros(30)])
        discordant = gained + lost
        tail = sum(comb(discordant, k) for k in range(max(gained, lost), discordant + 1)) / 2**discordant
        assert sign_flip_p(differences) == pytest.approx(min(1.0, 2 * tail))


def test_drawn_flips_agree_with_the_binomial_and_never_say_zero():
    differences = np.concatenate([np.ones(27), -np.ones(13)])
    exact = 2 * sum(comb(40, k) for k in range(27, 41)) / 2**40
    assert sign_flip_p(differences, seed=2) == pytest.approx(exact, abs=0.006)
    assert 0 < sign_flip_p(np.ones(60)) < 1e-4
    assert sign_flip_p(np.zeros(60)) == 1.0


def test_p_values_are_uniform_where_nothing_differs():
    rng = np.random.default_rng(7)
    p_values = [sign_flip_p(rng.normal(size=20), seed=trial) for trial in range(200)]
    assert np.mean(np.array(p_values) < 0.1) == pytest.approx(0.1, abs=0.06)


def test_paired_difference_finds_what_separate_intervals_hide():
    rng = np.random.default_rng(11)
    difficulty = rng.uniform(0, 0.8, size=50)
    result = paired_difference(difficulty, difficulty + rng.normal(0.05, 0.05, size=50), seed=0)
    assert (result.low, result.high) == pytest.approx(
        (result.difference - 1.96 * 0.05 / 50**0.5, result.difference + 1.96 * 0.05 / 50**0.5), abs=0.005
    )
    assert result.p_value < 0.001
    assert result.after - result.before == pytest.approx(result.difference)


def test_pairs_must_pair():
    with pytest.raises(ValueError, match="same tasks"):
        paired_difference(np.ones(3), np.ones(4))
    with pytest.raises(ValueError, match="at least one"):
        paired_difference(np.ones(0), np.ones(0))
