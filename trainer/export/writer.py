"""Writes a checkpoint as one GGUF file that llama.cpp runs.

    config.json ─► shape ─┐
    tokenizer.json ─► Vocabulary ─┼─► .model.gguf.partial ─► fsync ─► rename ─► model.gguf
    model.safetensors ─► permute q/k, pad the FFN, pack ─┘

The checkpoint's weights are already materialised, so packing ternary linears into TQ2_0 or TQ1_0 loses nothing: every
tensor is unpacked again and compared before it is written, and a model that would change is refused. Only the
embedding (Q8_0) is rounded. Never writes over a file before its successor is whole on disk.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from gguf import GGMLQuantizationType, GGUFWriter, LlamaFileType, quants
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from trainer.checkpoint import read_manifest
from trainer.errors import CheckpointError
from trainer.export.errors import ExportError
from trainer.export.shape import LlamaShape, check_blocks, padded_ffn, read_config, read_shape
from trainer.export.vocabulary import Vocabulary, read_vocabulary

LinearType: TypeAlias = Literal["TQ2_0", "TQ1_0", "Q8_0", "F16"]
EmbeddingType: TypeAlias = Literal["Q8_0", "F16"]
Weights: TypeAlias = NDArray[np.float32]

TERNARY_TYPES = frozenset(("TQ2_0", "TQ1_0"))

TERNARY_FORMAT = "Q1_58"
"""The ternary format's name in metadata: a weight carries log2(3) = 1.58 bits, however it is packed."""

FILE_TYPES: dict[str, LlamaFileType] = {
    "TQ2_0": LlamaFileType.MOSTLY_TQ2_0,
    "TQ1_0": LlamaFileType.MOSTLY_TQ1_0,
    "Q8_0": LlamaFileType.MOSTLY_Q8_0,
    "F16": LlamaFileType.MOSTLY_F16,
}


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What was written."""

    path: Path
    bytes: int
    parameters: int
    """Of the checkpoint; padding isn't counted."""
    linear_type: str
    embedding_type: str
    ffn_padded_to: int | None
    """Length of the zero-padded FFN, if it had to be padded to fill the last block."""
    sha256: str
    seconds: float

    @property
    def share_of_f16(self) -> float:
        """Size of the file over the size of the same parameters at two bytes each."""
        return self.bytes / (2 * self.parameters)


def export_gguf(
    checkpoint_dir: Path,
    out_path: Path,
    linear_type: LinearType = "TQ2_0",
    embedding_type: EmbeddingType = "Q8_0",
) -> ExportReport:
    """Write the Llama of a Hugging Face folder as GGUF, and return what was written.

    Args:
        checkpoint_dir: holds `config.json`, `model.safetensors` (materialised weights) and `tokenizer.json`.
        out_path: the file to write; one that exists is replaced once the new one is whole.
        linear_type: how the projections are packed. TQ2_0 (2.06 bits a weight) and TQ1_0 (1.69, slower) take ternary
            weights only; Q8_0 and F16 take any.
        embedding_type: how the embedding (and an untied head) is packed.

    Raises:
        CheckpointError: the folder is incomplete or corrupt.
        ExportError: not a Llama that llama.cpp computes alike, rows that don't fill the type's blocks, weights that
            the type can't hold exactly, or the file can't be written.
    """
    started = time.monotonic()
    if linear_type not in get_args(LinearType) or embedding_type not in get_args(EmbeddingType):
        raise ExportError(
            f"linear type {linear_type!r} with embedding type {embedding_type!r} is not known. "
            f"Linear types: {', '.join(get_args(LinearType))}. Embedding types: {', '.join(get_args(EmbeddingType))}."
        )
    config = read_config(checkpoint_dir)
    shape = read_shape(checkpoint_dir, config)
    check_blocks(shape, linear_type, embedding_type)
    vocabulary = read_vocabulary(checkpoint_dir, config)
    source = _source_hash(checkpoint_dir)

    partial = out_path.with_name(f".{out_path.name}.{os.getpid()}.partial")
    try:
        out_path.parent.mkdir(parents=True, exist_ok=True)
        parameters = _write(partial, checkpoint_dir, shape, vocabulary, linear_type, embedding_type, source)
        with partial.open("rb") as file:
            os.fsync(file.fileno())
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        partial.replace(out_path)
        folder = os.open(out_path.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)
    except OSError as error:
        cause = error.strerror or f"the disk took only part of it ({error})"
        raise ExportError(
            f"{out_path} could not be written: {cause}. Free some disk space or give another path."
        ) from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()
    padded = padded_ffn(shape, linear_type)
    return ExportReport(
        path=out_path,
        bytes=out_path.stat().st_size,
        parameters=parameters,
        linear_type=linear_type,
        embedding_type=embedding_type,
        ffn_padded_to=padded if padded != shape.ffn else None,
        sha256=digest,
        seconds=time.monotonic() - started,
    )


def permute_rope_rows(weight: Weights, heads: int) -> Weights:
    """Reorder the rows of q or k, (heads * head_dim, in): transformers rotates dimension i with i + head_dim / 2,
    llama.cpp rotates neighbours."""
    rows, columns = weight.shape
    return weight.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)


def _source_hash(directory: Path) -> str:
    """SHA-256 of the weights' file, equal to the manifest's if there is one."""
    path = directory / "model.safetensors"
    if not path.exists():
        sharded = (directory / "model.safetensors.index.json").exists()
        raise CheckpointError(
            f"{directory} has no model.safetensors. "
            + ("Its weights are in shards: save them as one file." if sharded else "Give a whole checkpoint folder.")
        )
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    manifest = read_manifest(directory)
    recorded = manifest.files.get(path.name, {}).get("sha256", digest) if manifest else digest
    if recorded != digest:
        raise CheckpointError(f"{path} is corrupt: it does not match its manifest. Export from another checkpoint.")
    return digest


def _write(
    path: Path,
    directory: Path,
    shape: LlamaShape,
    vocabulary: Vocabulary,
    linear_type: str,
    embedding_type: str,
    source: str,
) -> int:
    """Write everything to `path`, and return how many parameters the checkpoint has."""
    writer = GGUFWriter(path, "llama")
    try:
        _add_metadata(writer, shape, vocabulary, linear_type)
        writer.add_string("ferrotype.linear_type", linear_type)
        writer.add_string("ferrotype.embedding_type", embedding_type)
        writer.add_string("ferrotype.source_sha256", source)
        if linear_type in TERNARY_TYPES:
            writer.add_string("ferrotype.ternary_format", TERNARY_FORMAT)
        parameters = 0
        for name, hf_name, weight, pad in _tensors(directory, shape, padded_ffn(shape, linear_type)):
            parameters += weight.size
            if weight.ndim == 1:
                writer.add_tensor(name, weight)
                continue
            kind = embedding_type if name in ("token_embd.weight", "output.weight") else linear_type
            packed = _pack(np.pad(weight, pad), kind, hf_name)
            writer.add_tensor(name, packed, raw_dtype=GGMLQuantizationType[kind])
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        return parameters
    finally:
        writer.close()


def _add_metadata(writer: GGUFWriter, shape: LlamaShape, vocabulary: Vocabulary, linear_type: str) -> None:
    writer.add_name(shape.name)
    writer.add_file_type(FILE_TYPES[linear_type])
    writer.add_context_length(shape.positions)
    writer.add_embedding_length(shape.hidden)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(padded_ffn(shape, linear_type))
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_key_length(shape.head_dim)
    writer.add_value_length(shape.head_dim)
    writer.add_layer_norm_rms_eps(shape.rms_eps)
    writer.add_rope_freq_base(shape.rope_theta)
    writer.add_rope_dimension_count(shape.head_dim)
    writer.add_vocab_size(shape.vocab)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(vocabulary.pre_tokenizer)
    writer.add_token_list(vocabulary.tokens)
    writer.add_token_types(vocabulary.types)
    writer.add_token_merges(vocabulary.merges)
    writer.add_bos_token_id(vocabulary.bos_id)
    writer.add_eos_token_id(vocabulary.eos_id)
    if vocabulary.pad_id is not None:
        writer.add_pad_token_id(vocabulary.pad_id)
    # The model was trained on documents that end with <|endoftext|>, and on prompts that begin with nothing.
    writer.add_add_bos_token(False)
    if vocabulary.chat_template is not None:
        writer.add_chat_template(vocabulary.chat_template)


Padding: TypeAlias = tuple[tuple[int, int], tuple[int, int]]
UNPADDED: Padding = ((0, 0), (0, 0))


def _tensors(directory: Path, shape: LlamaShape, ffn_length: int) -> Iterator[tuple[str, str, Weights, Padding]]:
    """Every tensor as (GGUF name, Hugging Face name, weights, padding).

    Padding with zeros is exact: silu(0) * 0 = 0, and the zero columns of down would ignore it anyway.
    """
    spare = ffn_length - shape.ffn
    more_rows, more_columns = ((0, spare), (0, 0)), ((0, 0), (0, spare))
    q_size, kv_size = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    layer: tuple[tuple[str, str, tuple[int, ...], Padding], ...] = (
        ("attn_norm", "input_layernorm", (shape.hidden,), UNPADDED),
        ("attn_q", "self_attn.q_proj", (q_size, shape.hidden), UNPADDED),
        ("attn_k", "self_attn.k_proj", (kv_size, shape.hidden), UNPADDED),
        ("attn_v", "self_attn.v_proj", (kv_size, shape.hidden), UNPADDED),
        ("attn_output", "self_attn.o_proj", (shape.hidden, q_size), UNPADDED),
        ("ffn_norm", "post_attention_layernorm", (shape.hidden,), UNPADDED),
        ("ffn_gate", "mlp.gate_proj", (shape.ffn, shape.hidden), more_rows),
        ("ffn_up", "mlp.up_proj", (shape.ffn, shape.hidden), more_rows),
        ("ffn_down", "mlp.down_proj", (shape.hidden, shape.ffn), more_columns),
    )
    heads = {"attn_q": shape.heads, "attn_k": shape.kv_heads}
    path = directory / "model.safetensors"
    try:
        with safe_open(path, framework="pt") as file:

            def load(name: str, size: tuple[int, ...]) -> Weights:
                weight: Weights = file.get_tensor(name).float().numpy()
                if weight.shape != size or not np.isfinite(weight).all():
                    fault = f"shape {weight.shape}, not {size}" if weight.shape != size else "NaN or infinite values"
                    raise CheckpointError(f"{path} is corrupt: {name} has {fault}. Export from another checkpoint.")
                return weight

            embedding = (shape.vocab, shape.hidden)
            yield (
                "token_embd.weight",
                "model.embed_tokens.weight",
                load("model.embed_tokens.weight", embedding),
                UNPADDED,
            )
            for i in range(shape.layers):
                for ours, theirs, size, pad in layer:
                    hf_name = f"model.layers.{i}.{theirs}.weight"
                    weight = load(hf_name, size)
                    if ours in heads:
                        weight = permute_rope_rows(weight, heads[ours])
                    yield f"blk.{i}.{ours}.weight", hf_name, weight, pad
            yield "output_norm.weight", "model.norm.weight", load("model.norm.weight", (shape.hidden,)), UNPADDED
            if not shape.tied:
                yield "output.weight", "lm_head.weight", load("lm_head.weight", embedding), UNPADDED
    except SafetensorError as error:
        raise CheckpointError(
            f"{path} is corrupt or of another model: {error}. Export from another checkpoint."
        ) from error


def _pack(weight: Weights, kind: str, hf_name: str) -> NDArray[Any]:
    packed: NDArray[Any] = quants.quantize(weight, GGMLQuantizationType[kind])
    if kind in TERNARY_TYPES:
        changed = float(np.mean(quants.dequantize(packed, GGMLQuantizationType[kind]) != weight))
        if changed:
            raise ExportError(
                f"{hf_name} is not ternary: {kind} would change {changed:.0%} of its values, and the model with them. "
                "Export with linear type Q8_0 or F16."
            )
    return packed
