"""What supervised training reads: the run's tokens, mixed; for a given model its own of solved tasks. Shared by the
supervised phases."""

from __future__ import annotations

from services.config import RunConfig
from services.run_folder import RunFolder
from trainer.corpus.infill import Infill
from trainer.corpus.token_file import TokenFile
from trainer.corpus.tokenizer import load_tokenizer, tokenizer_sha256
from trainer.corpus.windows import DocumentWindows, MixtureSampler, StreamWindows, Windows
from trainer.grpo.asking import Asking
from trainer.grpo.codec import Codec
from trainer.grpo.demonstrations import demonstrations
from trainer.tasks.bank import TaskBank
from trainer.tasks.task import Split


def batches(run: RunFolder, config: RunConfig, task_share: float) -> MixtureSampler:
    """Windows of crates, and of solved training tasks in the share `task_share` (0 to 1) of every batch.

    Raises:
        CorpusError: the token files are missing or corrupt, or the tokenizer has no markers for gaps.
        NoChatTemplate: a given model is to be asked in chat and has none.
    """
    settings = config.pretrain
    if config.start_from is not None:
        asking = Asking(Codec(run.made("base")), config.grpo.prompts)
        solved = demonstrations(asking, TaskBank.load(run.tasks).tasks(Split.TRAIN))
        windows = DocumentWindows(solved, settings.context, settings.seed)
        return MixtureSampler([(windows, 1.0)], settings.seed, settings.batch_size)
    fingerprint, corpus, infill = tokenizer_sha256(run.tokenizer), config.corpus, None
    if corpus.fim_share:
        infill = Infill(load_tokenizer(run.tokenizer), corpus.fim_share, corpus.fim_spm_share, settings.seed)
    sources: list[tuple[Windows, float]] = []
    if task_share < 1:
        crates = TokenFile.open(run.tokens, tokenizer_sha256=fingerprint).split("train")
        sources.append((StreamWindows(crates, settings.context, settings.seed, infill), 1 - task_share))
    if task_share > 0:
        tasks = TokenFile.open(run.task_tokens, tokenizer_sha256=fingerprint).split("train")
        sources.append((DocumentWindows(tasks, settings.context, settings.seed, infill), task_share))
    return MixtureSampler(sources, settings.seed, settings.batch_size)
