"""Several nodes: work leaves a node that dies and goes to one that joins, and nothing is lost or mixed up."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.nightly
@pytest.mark.timeout(900)
def test_compilers_and_engines_outlive_their_nodes(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, str(Path(__file__).with_name("nodes_scenario.py")), str(tmp_path / "model")]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=840)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-5000:]
    seen = json.loads(next(line for line in done.stdout.splitlines() if line.startswith("SEEN ")).removeprefix("SEEN "))
    print(seen)
    assert seen["compilers_first"] == [seen["compilers_node"]] != [seen["driver"]]
    assert seen["compilers_second"] == [seen["compilers_joined"]]
    assert seen["judged_at_loss"] < seen["verdicts"] == seen["right"] == 240
    assert seen["engine_node"] in seen["engines_first"] and seen["driver"] not in seen["engines_first"]
    assert seen["engines_second"][seen["lost"]] == seen["joined"]
    assert seen["under_way"] and seen["completions"] == 16
    assert seen["health"] == ["healthy", "healthy"] and seen["restarts"] == 1
    assert seen["proved"] == [0, 1] and seen["versions"] == [3]
