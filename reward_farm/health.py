"""Canaries that show whether a worker still judges rightly: an honest one, and hostile ones that must not pass. Pure.

Each is new text with a new answer, so that no memory of an earlier verdict can stand in for judging it.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from reward_farm.problem import Case, Problem, Submission
from reward_farm.verdict import Outcome, Scored, Verdict


def canaries() -> list[Submission]:
    """Submissions whose outcomes are known: an honest answer, a wrong one that claims success, and a forbidden one."""
    secret = secrets.randbits(48)
    problem = Problem("canary", ("u64",), "u64", (Case((secret,), secret * 3 + 1), Case((7,), 22)))
    head = f"/// Canary {secret}.\npub fn canary(x: u64) -> u64 {{"
    texts = {
        "honest": f"{head} x * 3 + 1 }}",
        "liar": f'{head} println!("test result: ok. {secret}"); std::convert::identity(x) }}',
        "thief": f'{head} include_str!("/etc/passwd").len() as u64 + x }}',
    }
    return [Submission(f"canary/{name}/{secret}", text, problem) for name, text in texts.items()]


_EXPECTED = (Outcome.PASSED, Outcome.TEST_FAILED, Outcome.REJECTED)


def complaint(verdicts: Sequence[Verdict]) -> str | None:
    """What is wrong with the verdicts on `canaries()`, or None. A fault is no wrong verdict."""
    for verdict, expected in zip(verdicts, _EXPECTED, strict=True):
        if isinstance(verdict, Scored) and verdict.outcome is not expected:
            return f"the {verdict.id.split('/')[1]} canary was judged {verdict.outcome}, and is {expected}"
    return None
