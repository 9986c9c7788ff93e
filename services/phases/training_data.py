"""What supervised training reads: the run's tokens, mixed. Shared by the two supervised phases."""

from __future__ import annotations

from services.run_folder import RunFolder
from trainer.corpus.token_file import TokenFile
from trainer.corpus.tokenizer import tokenizer_sha256
from trainer.corpus.windows import DocumentWindows, MixtureSampler, StreamWindows, Windows
from trainer.settings import PretrainSettings


def batches(run: RunFolder, settings: PretrainSettings, task_share: float) -> MixtureSampler:
    """Windows of crates, and of solved training tasks in the share `task_share` (0 to 1) of every batch.

    Raises:
        CorpusError: the token files are missing or corrupt.
    """
    fingerprint = tokenizer_sha256(run.tokenizer)
    sources: list[tuple[Windows, float]] = []
    if task_share < 1:
        crates = TokenFile.open(run.tokens, tokenizer_sha256=fingerprint).split("train")
        sources.append((StreamWindows(crates, settings.context, settings.seed), 1 - task_share))
    if task_share > 0:
        tasks = TokenFile.open(run.task_tokens, tokenizer_sha256=fingerprint).split("train")
        sources.append((DocumentWindows(tasks, settings.context, settings.seed), task_share))
    return MixtureSampler(sources, settings.seed, settings.batch_size)
