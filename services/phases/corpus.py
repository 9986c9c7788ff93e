"""Makes what everything else reads: the bank of tasks, solved training tasks as text, the tokenizer and the tokens."""

from __future__ import annotations

from services.config import RunConfig
from services.events import Reporter
from services.run_folder import RunFolder
from trainer.corpus.build import build_corpus
from trainer.tasks.bank import TaskBank, build_bank
from trainer.tasks.document import END, training_documents
from trainer.tasks.task import Split


def run(run: RunFolder, config: RunConfig, reporter: Reporter) -> dict[str, object]:
    """`data/tasks.jsonl`, `data/tokenizer/`, `data/rust_tokens.bin` and `data/task_tokens.bin`."""
    bank = _bank(run, config)
    held_out = len(bank.tasks(Split.UNSEEN_TASKS)), len(bank.tasks(Split.UNSEEN_FAMILIES))
    families = len({task.family for task in bank.all})
    reporter.note(
        f"{len(bank)} tasks of {families} families; unseen: {held_out[0]} tasks, {held_out[1]} of new families"
    )
    documents = training_documents(config.tasks.seed, config.tasks.documents, config.tasks.chat_share)
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


def _bank(run: RunFolder, config: RunConfig) -> TaskBank:
    """The run's tasks: those on disk, if a kill came after they were written."""
    if run.tasks.exists():
        return TaskBank.load(run.tasks)
    settings = config.tasks
    bank = build_bank(
        settings.seed, settings.train_per_family, settings.unseen_tasks_per_family, settings.unseen_family_tasks
    )
    bank.save(run.tasks)
    return bank
