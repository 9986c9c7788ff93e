"""How GGUF packs numbers: the types that are offered, and weights turned into their blocks. Reads and writes no files.

Ternary blocks (TQ2_0, TQ1_0) hold one fp16 scale and three values. Weights trained ternary are such already, so packing
loses nothing, and every tensor is unpacked again and compared to prove it.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, LlamaFileType, quants
from numpy.typing import NDArray

from trainer.export.errors import NotTernary
from trainer.model import ternary

LinearType: TypeAlias = Literal["TQ2_0", "TQ1_0", "Q8_0", "Q4_0", "BF16", "F16", "F32"]
EmbeddingType: TypeAlias = Literal["Q4_0", "Q8_0", "F16", "F32"]
Weights: TypeAlias = NDArray[np.float32]

TERNARY_TYPES = frozenset(("TQ2_0", "TQ1_0"))

FILE_TYPES: dict[str, LlamaFileType] = {
    "TQ2_0": LlamaFileType.MOSTLY_TQ2_0,
    "TQ1_0": LlamaFileType.MOSTLY_TQ1_0,
    "Q8_0": LlamaFileType.MOSTLY_Q8_0,
    "Q4_0": LlamaFileType.MOSTLY_Q4_0,
    "BF16": LlamaFileType.MOSTLY_BF16,
    "F16": LlamaFileType.MOSTLY_F16,
    "F32": LlamaFileType.ALL_F32,
}


def block_of(kind: str) -> int:
    """How many weights of a row share a block of this type."""
    return int(GGML_QUANT_SIZES[GGMLQuantizationType[kind]][0])


def pack(weight: Weights, kind: str, name: str, *, force: bool = False) -> NDArray[Any]:
    """The blocks of a matrix; `force` rounds weights that are not ternary to ternary ones.

    Raises:
        NotTernary: a ternary type would change the weights, and isn't forced.
    """
    packed: NDArray[Any] = quants.quantize(weight, GGMLQuantizationType[kind])
    changed = float(np.mean(unpack(packed, kind) != weight)) if kind in TERNARY_TYPES else 0.0
    if not changed:
        return packed
    if force:
        return pack(ternary(torch.from_numpy(weight)).numpy(), kind, name)
    raise NotTernary(
        f"{name} is not ternary: {kind} would change {changed:.0%} of its values, and the model with them. "
        "Export with type Q8_0 or F16."
    )


def unpack(packed: NDArray[Any], kind: str) -> Weights:
    """The weights that llama.cpp computes with."""
    unpacked: Weights = quants.dequantize(packed, GGMLQuantizationType[kind])
    return unpacked


def rounded(weight: Weights, kind: str) -> Weights:
    """What is left of a matrix after being packed; rows are filled up to whole blocks for it."""
    columns = weight.shape[1]
    spare = -columns % block_of(kind)
    return unpack(pack(np.pad(weight, ((0, 0), (0, spare))), kind, "the embedding"), kind)[:, :columns]
