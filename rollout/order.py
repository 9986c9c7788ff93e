"""One request on its way through the pool: from whoever asked for it to a replica, and back if that stops serving."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from rollout.types import Completion, GenerationRequest


@dataclass(frozen=True, slots=True, eq=False)
class Order:
    """`answer` ends with the completion or a typed error; cancelling it takes the request back."""

    request: GenerationRequest
    answer: asyncio.Future[Completion]

    @property
    def open(self) -> bool:
        """Somebody still waits for it."""
        return not self.answer.done()

    def fail(self, error: Exception) -> None:
        """Ends it, if it is open."""
        if self.open:
            self.answer.set_exception(error)

    def complete(self, completion: Completion) -> None:
        """Ends it, if it is open."""
        if self.open:
            self.answer.set_result(completion)
