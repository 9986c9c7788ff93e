"""Ferrotype's GRPO beside TRL's GRPOTrainer on one machine's CPU: see `__main__`."""
