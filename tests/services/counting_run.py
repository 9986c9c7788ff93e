"""A whole run of three counting phases: `counting_run.py RUN_DIR STEPS`. Tests kill it and start it again."""

import sys
from pathlib import Path

from services.console import Operator
from services.pipeline import Phase, run_phases
from services.run_folder import RunFolder

PHASES = tuple(Phase(name, f"count {name}", alone=False) for name in ("one", "two", "three"))
PHASE_PROGRAM = Path(__file__).with_name("counting_phase.py")

if __name__ == "__main__":
    run = RunFolder(Path(sys.argv[1]))
    with run.held():
        operator = Operator(run.logs / "production_training_test.log")
        run_phases(
            run,
            operator,
            PHASES,
            lambda phase, run: [sys.executable, str(PHASE_PROGRAM), phase.name, str(run.root), sys.argv[2], "plain"],
        )
        print("finished")
