"""What the comparison with TRL says of steps whose answers are known."""

from __future__ import annotations

import math

import pytest

from benchmarks.grpo_vs_trl.figures import compare, difference, equal_steps, mean_interval, overlap, reached, smoothed
from benchmarks.grpo_vs_trl.job import Step
from benchmarks.grpo_vs_trl.table import chart


def run(seconds: list[float], rewards: list[float] | None = None, **parts: float) -> list[Step]:
    """Steps of so many seconds, at 2 CPU seconds and 100 tokens each."""
    rewards = rewards or [float(number) for number in range(len(seconds))]
    return [
        Step(number, each, 2.0, reward, 100, parts)
        for number, (each, reward) in enumerate(zip(seconds, rewards, strict=True), 1)
    ]


def test_steps_are_compared_after_the_warm_up_round_by_round() -> None:
    trl = [run([90, 6, 6, 6], sample=4.0), run([90, 8, 8, 8], sample=4.0)]
    ours = [run([50, 2, 2, 2], wait=1.0), run([50, 4, 4, 4], wait=1.0)]
    found = compare(trl, ours, warmup=1)
    assert found["step_ratio"] == [3.0, 2.0]
    assert found["trl"]["step_seconds"] == found["trl"]["step_median"] == 7.0
    assert found["cpu_ratio"] == [1.0, 1.0]
    assert found["trl"]["step_range"] == [6, 8] and found["ferrotype"]["parts"] == {"wait": 1.0}
    assert found["trl"]["part_tokens_per_second"] == {"sample": 25.0}
    assert found["ferrotype"]["tokens_per_second"] == pytest.approx(600 / 18)
    assert found["steps"] == [4, 4]


def test_an_arm_that_ran_out_of_time_is_compared_as_far_as_it_came() -> None:
    trl, ours = equal_steps([run([1, 1]), run([1, 1, 1])], [run([1, 1, 1])])
    assert [len(each) for each in trl] == [len(each) for each in ours] == [2]


def test_time_to_a_reward_counts_every_second_up_to_the_window_that_reaches_it() -> None:
    steps = run([10, 1, 1, 1, 1, 1], [0, 0, 8, 8, 8, 8])
    assert smoothed(steps) == [4, 6, 8]
    assert reached(steps, 6) == 14
    assert reached(steps, 8) == 15
    assert reached(steps, 9) is None
    assert reached(run([3, 4], [5, 7]), 6) == 7  # fewer steps than a window


def test_the_goal_is_a_reward_that_every_run_reaches() -> None:
    fast, slow = run([1] * 8, [float(n) for n in range(8)]), run([1] * 8, [n / 2 for n in range(8)])
    found = compare([slow], [fast], warmup=1)
    assert found["goal"] == max(smoothed(slow))
    assert found["trl"]["seconds_to_goal"] == [8] and found["ferrotype"]["seconds_to_goal"][0] < 8
    assert compare([slow], [fast], warmup=1, goal=99)["trl"]["seconds_to_goal"] == [None]


def test_rewards_are_compared_in_pairs_of_steps() -> None:
    hard_and_easy = [0.0, 30.0] * 10
    low = [run([1] * 20, hard_and_easy)]
    high = [run([1] * 20, [reward + 1 for reward in hard_and_easy])]
    assert difference(low, high) == (1, 1, 1)  # however much prompts differ
    mean, below, above = mean_interval(hard_and_easy)
    width = 1.96 * 15 / math.sqrt(20)
    assert mean == 15 and below == pytest.approx(15 - width, abs=1.5) and above == pytest.approx(15 + width, abs=1.5)


def test_overlap_is_measured_against_the_stages_alone_and_against_what_the_cores_allow() -> None:
    alone = [run([5, 5, 5], wait=3.0, update=1.5, push=0.5)]
    found = overlap([run([9, 3.3, 3.3])], alone, warmup=1, cores=2)
    assert found["over_longest_stage"] == pytest.approx(1.1)
    assert found["cpu_over_cores"] == 1.0  # 2 CPU seconds a step
    busy = overlap([run([9, 3.3, 3.3])], [list(alone[0])], warmup=1, cores=1)
    assert busy["over_what_the_cores_allow"] == busy["over_longest_stage"]


def test_the_chart_has_a_line_for_each_round_of_each_arm() -> None:
    drawn = chart([run([2.0] * 6)], [run([1.0] * 6), run([1.0] * 6)])
    assert drawn.count("<polyline") == 6  # over seconds, and over steps
    assert drawn.startswith("<svg xmlns=")
