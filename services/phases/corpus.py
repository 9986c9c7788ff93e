"""Makes what everything else reads: the bank of tasks, solved training tasks as text, the tokenizer and the tokens."""

from __future__ import annotations

from reward_farm.judge import Judge
from services.config import RunConfig
from services.events import Reporter
from services.run_folder import RunFolder
from trainer.corpus.build import build_corpus
from trainer.tasks.bank import TaskBank, build_bank
from trainer.tasks.document import END, training_documents
from trainer.tasks.errors import TaskBankError
from trainer.tasks.task import Split
from trainer.tasks.verify import verify

VERIFIED = 64
"""References judged of each split: the tests prove every one, this shows that it holds with this machine's rustc."""


def run(run: RunFolder, config: RunConfig, reporter: Reporter) -> dict[str, object]:
    """`data/tasks.jsonl`; and, to train a model from nothing, `tokenizer/`, `rust_tokens.bin` and `task_tokens.bin`."""
    bank = _bank(run, config, reporter)
    held_out = len(bank.tasks(Split.UNSEEN_TASKS)), len(bank.tasks(Split.UNSEEN_FAMILIES))
    families = len({task.family for task in bank.all})
    reporter.note(
        f"{len(bank)} tasks of {families} families; unseen: {held_out[0]} tasks, {held_out[1]} of new families"
    )
    if config.start_from is not None:
        return {"tasks": len(bank)}
    tasks = config.tasks
    documents = training_documents(tasks.seed, tasks.documents, tasks.chat_share, max_difficulty=tasks.max_difficulty)
    said = ""

    def progress(done: int, total: int, what: str) -> None:
        nonlocal said
        if what != said:
            reporter.note(what)
            said = what
        reporter.progress(done, total, {}, {})

    report = build_corpus(
        config.corpus,
        run.data,
        # The token file ends every document itself.
        extra_documents=[document.text.removesuffix(END) for document in documents],
        progress=progress,
    )
    for note in report.notes:
        reporter.note(note)
    return {
        "tasks": len(bank),
        "files": report.files,
        "tokens": report.tokens,
        "validation_tokens": report.validation_tokens,
        "task_tokens": report.extra_tokens,
    }


def _bank(run: RunFolder, config: RunConfig, reporter: Reporter) -> TaskBank:
    """The run's tasks: those on disk, if a kill came after they were written.

    Raises:
        TaskBankError: this machine's compiler does not accept a reference solution.
    """
    if run.tasks.exists():
        return TaskBank.load(run.tasks)
    settings = config.tasks
    bank = build_bank(
        settings.seed,
        settings.train_per_family,
        settings.unseen_tasks_per_family,
        settings.unseen_family_tasks,
        max_difficulty=settings.max_difficulty,
    )
    with Judge(config.farm) as judge:
        report = verify([task for split in Split for task in bank.sample(split, VERIFIED)], judge.judge)
    if not report.ok:
        worst = report.failures[0]
        raise TaskBankError(
            f"{len(report.failures)} of {report.judged} reference solutions fail here, first {worst.task_id}: "
            f"{worst.reason}. Take a rustc as new as README.md asks for."
        )
    reporter.note(f"{report.judged} reference solutions judged, all pass; mean reward {report.mean_reward:.1f} of 30")
    bank.save(run.tasks)
    return bank
