"""Writes a checkpoint as one GGUF file that llama.cpp runs.

    config.json ─► shape, filled up to whole blocks ─┐
    tokenizer.json ─► Vocabulary ────────────────────┼─► .model.gguf.partial ─► fsync ─► rename ─► model.gguf
    safetensors ─► row order, zeros, packing ────────┤
    manifest, card ─► Facts ─────────────────────────┘

The checkpoint's weights are already materialised, so packing ternary linears into TQ2_0 or TQ1_0 loses nothing, and a
model that would change is refused. Never writes over a file before its successor is whole on disk.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from gguf import GGML_QUANT_VERSION, GGMLQuantizationType, GGUFWriter, Keys

from trainer.export.errors import ExportError
from trainer.export.facts import Fact, Facts, read_facts
from trainer.export.packing import FILE_TYPES, TERNARY_TYPES, EmbeddingType, LinearType, block_of, pack
from trainer.export.shape import LlamaShape, padded, padding_said, read_config, read_shape
from trainer.export.source import Source, open_source
from trainer.export.tensors import tensors
from trainer.export.vocabulary import Vocabulary, read_vocabulary

TERNARY_FORMAT = "Q1_58"
"""The ternary format's name in metadata: a weight carries log2(3) = 1.58 bits, however it is packed."""

EMBEDDINGS = ("token_embd.weight", "output.weight")


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What was written."""

    path: Path
    bytes: int
    parameters: int
    """Of the checkpoint; padding isn't counted."""
    linear_type: str
    embedding_type: str
    padding: str
    """What was filled up with zeros, in words; empty if every row filled its blocks."""
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
    *,
    facts: Facts | None = None,
    force: bool = False,
) -> ExportReport:
    """Write the Llama of a Hugging Face folder as GGUF, and return what was written.

    Args:
        checkpoint_dir: holds `config.json`, safetensors (materialised weights) and `tokenizer.json`.
        out_path: the file to write; one that exists is replaced once the new one is whole.
        linear_type: how the projections are packed. TQ2_0 (2.06 bits a weight) and TQ1_0 (1.69, slower) take ternary
            weights only; the others take any.
        embedding_type: how the embedding (and an untied head) is packed.
        facts: what the file says of the model; None reads them from the checkpoint.
        force: round weights that are not ternary to ternary ones. It destroys a model that was not trained so.

    Raises:
        CheckpointError: the folder is incomplete or corrupt.
        NotTernary: the type is ternary and the weights are not.
        ExportError: not a Llama that llama.cpp computes alike, or the file can't be written.
    """
    started = time.monotonic()
    if linear_type not in get_args(LinearType) or embedding_type not in get_args(EmbeddingType):
        raise ExportError(
            f"linear type {linear_type!r} with embedding type {embedding_type!r} is not known. "
            f"Linear types: {', '.join(get_args(LinearType))}. Embedding types: {', '.join(get_args(EmbeddingType))}."
        )
    if out_path.is_dir():
        raise ExportError(f"{out_path} is a folder. Give the name of the file to write, such as {out_path}/model.gguf.")
    config = read_config(checkpoint_dir)
    shape = read_shape(checkpoint_dir, config)
    filled = padded(shape, max(block_of(linear_type), block_of(embedding_type)))
    vocabulary = read_vocabulary(checkpoint_dir, config)
    facts = read_facts(checkpoint_dir) if facts is None else facts

    partial = out_path.with_name(f".{out_path.name}.{os.getpid()}.partial")
    try:
        with open_source(checkpoint_dir) as source:
            out_path.parent.mkdir(parents=True, exist_ok=True)
            writer = GGUFWriter(partial, "llama")
            try:
                _add_metadata(writer, filled, vocabulary, linear_type)
                _add_facts(writer, facts, linear_type, embedding_type, source.sha256, force=force)
                _add_tensors(writer, source, shape, filled, linear_type, embedding_type, force=force)
                writer.write_header_to_file()
                writer.write_kv_data_to_file()
                writer.write_tensors_to_file()
            finally:
                writer.close()
            parameters = source.parameters
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
    return ExportReport(
        path=out_path,
        bytes=out_path.stat().st_size,
        parameters=parameters,
        linear_type=linear_type,
        embedding_type=embedding_type,
        padding=padding_said(shape, filled),
        sha256=digest,
        seconds=time.monotonic() - started,
    )


def require_ternary(checkpoint_dir: Path, linear_type: LinearType) -> None:
    """Look at one layer before anything long is done for a ternary file; writing it looks at all.

    Raises:
        NotTernary: it has other weights.
    """
    shape = read_shape(checkpoint_dir, read_config(checkpoint_dir))
    filled = padded(shape, block_of(linear_type))
    with open_source(checkpoint_dir) as source:
        for name, hf_name, weight in tensors(source, shape, filled):
            if weight.ndim == 2 and name not in EMBEDDINGS:
                pack(weight, linear_type, hf_name)
                return


def _add_tensors(
    writer: GGUFWriter,
    source: Source,
    shape: LlamaShape,
    filled: LlamaShape,
    linear_type: str,
    embedding_type: str,
    *,
    force: bool,
) -> None:
    for name, hf_name, weight in tensors(source, shape, filled):
        if weight.ndim == 1:
            writer.add_tensor(name, weight)
            continue
        kind = embedding_type if name in EMBEDDINGS else linear_type
        writer.add_tensor(name, pack(weight, kind, hf_name, force=force), raw_dtype=GGMLQuantizationType[kind])


def _add_facts(
    writer: GGUFWriter, facts: Facts, linear_type: str, embedding_type: str, source_sha256: str, *, force: bool
) -> None:
    if facts.licence is not None:
        writer.add_license(facts.licence)
    if facts.base_model is not None:
        writer.add_base_model_count(1)
        writer.add_base_model_name(0, facts.base_model)
    writer.add_string("ferrotype.linear_type", linear_type)
    writer.add_string("ferrotype.embedding_type", embedding_type)
    writer.add_string("ferrotype.source_sha256", source_sha256)
    if linear_type in TERNARY_TYPES:
        writer.add_string("ferrotype.ternary_format", TERNARY_FORMAT)
        if force:
            writer.add_bool("ferrotype.ternary_forced", True)
    for key, value in facts.training.items():
        _add(writer, f"ferrotype.training.{key}", value)


def _add(writer: GGUFWriter, key: str, value: Fact) -> None:
    match value:
        case bool():
            writer.add_bool(key, value)
        case int():
            writer.add_int64(key, value)
        case float():
            writer.add_float64(key, value)
        case str():
            writer.add_string(key, value)


def _add_metadata(writer: GGUFWriter, shape: LlamaShape, vocabulary: Vocabulary, linear_type: str) -> None:
    writer.add_name(shape.name)
    writer.add_file_type(FILE_TYPES[linear_type])
    writer.add_quantization_version(GGML_QUANT_VERSION)
    writer.add_context_length(shape.positions)
    writer.add_embedding_length(shape.hidden)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.ffn)
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
    if vocabulary.fim_ids is not None:
        prefix, suffix, hole = vocabulary.fim_ids
        writer.add_uint32(Keys.Tokenizer.FIM_PRE_ID, prefix)
        writer.add_uint32(Keys.Tokenizer.FIM_SUF_ID, suffix)
        writer.add_uint32(Keys.Tokenizer.FIM_MID_ID, hole)
    # The model was trained on documents that end with <|endoftext|>, and on prompts that begin with nothing.
    writer.add_add_bos_token(False)
    if vocabulary.chat_template is not None:
        writer.add_chat_template(vocabulary.chat_template)
