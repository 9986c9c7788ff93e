"""Two checkpoints of the same tokenizer on text in its ordinary order that neither was trained on: paired losses.

    python -m benchmarks.held_out_loss RUN BEFORE AFTER

`RUN` gives the held-out crates and the tasks. Windows of crates, and the known answers of unseen tasks, one by one.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from services.run_folder import RunFolder
from trainer.checkpoint import load_checkpoint
from trainer.corpus.token_file import TokenFile
from trainer.corpus.tokenizer import END_OF_TEXT_ID, load_tokenizer, tokenizer_sha256
from trainer.corpus.windows import StreamWindows
from trainer.pretrain import next_token_loss
from trainer.tasks.bank import TaskBank
from trainer.tasks.task import Form, Split

WINDOWS, CONTEXT = 96, 256


def main(run: RunFolder, before: Path, after: Path) -> None:
    """Print a line for crates and one for tasks."""
    tokenizer = load_tokenizer(run.tokenizer)
    crates = TokenFile.open(run.tokens, tokenizer_sha256=tokenizer_sha256(run.tokenizer)).split("validation")
    windows = StreamWindows(crates, CONTEXT, 0).rows(np.arange(WINDOWS)).tolist()
    tasks = [task for task in TaskBank.load(run.tasks).tasks(Split.UNSEEN_TASKS) if task.form is Form.COMPLETE]
    solved = [[*tokenizer.encode(task.solved).ids, END_OF_TEXT_ID] for task in tasks]
    for what, rows in (
        (f"{len(windows)} windows of held-out crates", windows),
        (f"{len(solved)} unseen tasks", solved),
    ):
        first, second = losses(before, rows), losses(after, rows)
        change, half = (second - first).mean(), 1.96 * (second - first).std(ddof=1) / len(first) ** 0.5
        interval = f"[{change - half:+.3f}, {change + half:+.3f}]"
        print(f"{what}: {first.mean():.3f}, {second.mean():.3f}; {change:+.3f} {interval}")


@torch.no_grad()
def losses(checkpoint: Path, rows: Sequence[Sequence[int]]) -> NDArray[np.float64]:
    """(R,) nats a token of each row."""
    model = load_checkpoint(checkpoint).model.eval()
    return np.array([next_token_loss(model, torch.tensor([row])).item() for row in rows])


if __name__ == "__main__":
    main(RunFolder(Path(sys.argv[1])), Path(sys.argv[2]), Path(sys.argv[3]))
