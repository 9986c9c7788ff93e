"""A phase that counts to STEPS and keeps each number on disk: `counting_phase.py NAME RUN_DIR STEPS HOW EVENT_FD`.

HOW is plain; stuck (SIGKILL to itself at once); or what happens when the count reaches half: once (SIGKILL, only on the
first start), error (a message for the operator), crash (an exception). With steps it ends after a step, when asked to.
"""

import os
import signal
import sys
import time
from pathlib import Path

from services.errors import Interrupted
from services.events import Done, Failed, Reporter
from services.run_folder import write_text
from services.worker import die_with_parent

name, root, steps, how, descriptor = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4], int(sys.argv[5])
os.set_inheritable(descriptor, False)
die_with_parent()
counter, starts = root / f"{name}.count", root / f"{name}.starts"
starts.write_text(starts.read_text() + "x" if starts.exists() else "x")
first = len(starts.read_text()) == 1
count = int(counter.read_text()) if counter.exists() else 0
print(f"{name} prints this", flush=True)
if how == "stuck":
    os.kill(os.getpid(), signal.SIGKILL)
with os.fdopen(descriptor, "w") as stream:
    reporter = Reporter(stream)
    if how == "steps":
        signal.signal(signal.SIGTERM, lambda *_: reporter.ask_to_stop())
        reporter.finishes_steps()
    while count < steps:
        count += 1
        write_text(counter, str(count))
        reporter.progress(count, steps, {"loss": 10.0 / count}, {"loss": 10.0 / count})
        if reporter.stop_asked:
            (root / f"{name}.saved").write_text(str(count))
            raise Interrupted("stopped")
        time.sleep(0.01)
        if count == steps // 2:
            if how == "once" and first:
                os.kill(os.getpid(), signal.SIGKILL)
            if how == "error":
                reporter.send(Failed("the moon is in the wrong place. Wait a week."))
                sys.exit(1)
            if how == "crash":
                raise RuntimeError("a bug")
    reporter.send(Done({"count": count, "checkpoint": counter.name}))
