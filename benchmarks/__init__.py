"""Measurements against yardsticks that run beside them: `python -m benchmarks.reward_farm`."""
