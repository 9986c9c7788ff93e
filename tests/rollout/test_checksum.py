"""Checksums tell apart every weight that a product could tell apart, and no others."""

from __future__ import annotations

import pytest
import torch

from rollout.checksum import EMBEDDING, TIED_HEAD, checksum, differences, expected_checksums
from rollout.types import PushProof


def test_one_changed_element_is_seen() -> None:
    tensor = torch.randn(8, 16)
    changed = tensor.clone()
    changed[3, 5] = torch.nextafter(changed[3, 5], torch.tensor(9.0))
    assert checksum(changed) != checksum(tensor)


@pytest.mark.parametrize("other", [torch.ones(2, 3), torch.ones(6), torch.ones(3, 2, dtype=torch.bfloat16)])
def test_shape_and_dtype_count(other: torch.Tensor) -> None:
    assert checksum(other) != checksum(torch.ones(3, 2))


def test_memory_layout_and_the_sign_of_zero_do_not_count() -> None:
    tensor = torch.tensor([[0.0, 1.0], [-2.0, 3.0]])
    assert checksum(tensor.t().contiguous().t()) == checksum(tensor)
    assert checksum(torch.tensor([-0.0])) == checksum(torch.tensor([0.0]))


def test_a_tied_head_is_expected_to_be_the_embedding() -> None:
    tied = expected_checksums({EMBEDDING: torch.ones(4, 2)})
    assert tied[TIED_HEAD] == tied[EMBEDDING]
    untied = expected_checksums({EMBEDDING: torch.ones(4, 2), TIED_HEAD: torch.zeros(4, 2)})
    assert untied[TIED_HEAD] != untied[EMBEDDING]


def test_differences_name_what_is_wrong() -> None:
    expected = {"a": "1", "b": "2"}
    assert differences(3, expected, PushProof(3, {"a": "1", "b": "2"})) == []
    assert differences(3, expected, PushProof(2, {"a": "1", "b": "x", "c": "4"})) == [
        "version 2 instead of 3",
        "b differs",
        "c was not sent",
    ]
    assert differences(3, expected, PushProof(3, {"a": "1"})) == ["b is unknown to the engine"]
