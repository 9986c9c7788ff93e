"""Training documents: many, distinct, and in the two forms that the tokenizer's special tokens give."""

from __future__ import annotations

from collections import Counter, defaultdict

from trainer.tasks.document import training_documents
from trainer.tasks.families import FAMILIES
from trainer.tasks.task import Split


def test_documents_are_repeatable_and_mostly_distinct() -> None:
    documents = list(training_documents(0, 20_000))
    assert documents[:500] == list(training_documents(0, 500))
    assert documents[:500] != list(training_documents(1, 500))
    assert len({document.prompt for document in documents}) > 10_000
    drawn = Counter(document.family for document in documents)
    assert set(drawn) == {family.name for family in FAMILIES if family.split is Split.TRAIN}
    assert min(drawn.values()) > 100, "each family is met often enough to be learnt"


def test_documents_take_the_code_form_or_the_chat_form() -> None:
    documents = list(training_documents(0, 2000, chat_share=0.25))
    for document in documents:
        source = document.text
        if document.chat:
            head, source = document.text.split("<|assistant|>")
            assert head.startswith("<|user|>Write a Rust function")
        assert source.startswith(f"{document.prompt}\n    ")
        assert source.endswith("\n}\n<|endoftext|>")
    assert 0.2 < sum(document.chat for document in documents) / len(documents) < 0.3


def test_solutions_of_a_function_come_in_several_styles() -> None:
    bodies = defaultdict(set)
    for document in training_documents(0, 20_000, chat_share=0):
        bodies[document.prompt].add(document.text)
    assert sum(len(texts) > 1 for texts in bodies.values()) > 300
