"""The task bank, built once."""

from __future__ import annotations

import pytest

from trainer.tasks.bank import TaskBank, build_bank


@pytest.fixture(scope="session")
def bank() -> TaskBank:
    return build_bank(0)
