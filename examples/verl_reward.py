"""The farm as verl's reward function, called as verl calls it. verl itself is not needed for this.

    python examples/verl_reward.py

In a run, verl finds the function by its file, and each row's problem in `reward_model.ground_truth`:

    python -m verl.trainer.main_ppo ... \\
        reward.custom_reward_function.path=$PWD/reward_farm/adapters/verl.py \\
        reward.custom_reward_function.name=compute_score
"""

import json

from reward_farm.adapters.verl import compute_score, compute_scores
from reward_farm.document import write_problem
from reward_farm.problem import Case, Problem

PROBLEM = Problem("double", ("i32",), "i32", (Case((2,), 4), Case((-3,), -6)))

ROW = {
    "data_source": "ferrotype",
    "prompt": [{"role": "user", "content": "Write a Rust function `double` that doubles an i32."}],
    "reward_model": {"style": "rule", "ground_truth": json.dumps(write_problem(PROBLEM))},
}

ANSWERS = [
    "```rust\n/// Twice `x`.\npub fn double(x: i32) -> i32 {\n    x * 2\n}\n```",
    "```rust\npub fn double(x: i32) -> i32 {\n    x + 2\n}\n```",
]

if __name__ == "__main__":
    truth = ROW["reward_model"]["ground_truth"]
    print(compute_score(data_source=ROW["data_source"], solution_str=ANSWERS[0], ground_truth=truth, extra_info={}))
    for figures in compute_scores([ROW["data_source"]] * 2, ANSWERS, [truth] * 2, [{}] * 2):
        print(figures)
