"""Checksums of weights by value, computed alike by the sender and by the engine. Never reads or writes files."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import torch

from rollout.types import PushProof

TIED_HEAD = "lm_head.weight"
EMBEDDING = "model.embed_tokens.weight"


def checksum(tensor: torch.Tensor) -> str:
    """sha256 of a tensor's dtype, shape and values. Negative zero counts as zero: no product tells them apart."""
    values = (tensor.detach().cpu() + 0.0).contiguous()
    digest = hashlib.sha256(f"{values.dtype}{tuple(values.shape)}".encode())
    digest.update(values.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def expected_checksums(weights: Mapping[str, torch.Tensor]) -> dict[str, str]:
    """Checksums that an engine must report once it holds `weights`. Without a head of its own, the embedding is it."""
    sums = {name: checksum(tensor) for name, tensor in weights.items()}
    if EMBEDDING in sums:
        sums.setdefault(TIED_HEAD, sums[EMBEDDING])
    return sums


def differences(version: int, expected: Mapping[str, str], proof: PushProof) -> list[str]:
    """What in `proof` isn't `version` with the `expected` checksums, in words; empty when it is proved."""
    found = [] if proof.version == version else [f"version {proof.version} instead of {version}"]
    for name in sorted(expected.keys() | proof.checksums.keys()):
        if name not in proof.checksums:
            found.append(f"{name} is unknown to the engine")
        elif name not in expected:
            found.append(f"{name} was not sent")
        elif expected[name] != proof.checksums[name]:
            found.append(f"{name} differs")
    return found
