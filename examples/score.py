"""Judges three answers to one problem, in this process: no Ray, no GPU, no model.

python examples/score.py
"""

from reward_farm.problem import Case, Problem
from reward_farm.scoring import score
from reward_farm.verdict import InfraFault

PROBLEM = Problem("double", ("i32",), "i32", (Case((2,), 4), Case((-3,), -6)))

ANSWERS = [
    "Sure! Here it is:\n```rust\n/// Twice `x`.\npub fn double(x: i32) -> i32 {\n    x * 2\n}\n```",
    "pub fn double(x: i32) -> i32 { x + 2 }",
    'pub fn double(x: i32) -> i32 { "four" }',
]

if __name__ == "__main__":
    for verdict in score(PROBLEM, ANSWERS):
        if isinstance(verdict, InfraFault):  # our fault, not the answer's: it has no reward
            print(f"not judged: {verdict.reason}")
            continue
        said = "; ".join(found.message for found in verdict.diagnostics)
        print(f"{verdict.reward.total:5.2f}  {verdict.outcome}  {said}")
