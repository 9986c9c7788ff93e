"""Tells which documents say nothing new. Holds hashes only; reads and writes nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

# A document with more than this share of its line pairs already seen is a copy with small changes (another version of
# the same crate, a macro's siblings written out).
NEAR_SHARE = 0.8
# Lines of brackets are in every file and say nothing about where it came from.
_WORD = re.compile(r"\w")


@dataclass(slots=True)
class DuplicateFilter:
    """Remembers what it was shown. The first of several copies is new, so the order of the documents matters."""

    exact: int = 0
    near: int = 0
    _texts: set[int] = field(default_factory=set)
    _pairs: set[int] = field(default_factory=set)

    def is_new(self, text: str) -> bool:
        """Whether neither the text (white space aside) nor most of its pairs of neighbouring lines were seen before."""
        lines = [line for raw in text.splitlines() if (line := "".join(raw.split()))]
        whole = hash(tuple(lines))
        if whole in self._texts:
            self.exact += 1
            return False
        self._texts.add(whole)
        telling = [line for line in lines if _WORD.search(line)]
        pairs = {hash(pair) for pair in zip(telling, [*telling[1:], ""], strict=True)}
        seen = len(pairs & self._pairs)
        self._pairs |= pairs
        if pairs and seen > NEAR_SHARE * len(pairs):
            self.near += 1
            return False
        return True
