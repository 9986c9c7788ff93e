"""The tokenizer: byte-level BPE that transformers, vLLM and llama.cpp (`pre = smollm`) split alike. Trained, saved and
loaded here; never changed after training.

Digits are tokens of their own, every byte has a token (so any text round-trips), and the special tokens come first.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterable, Sequence
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from trainer.corpus.atomic import atomic_folder
from trainer.corpus.errors import TokenizerError

END_OF_TEXT = "<|endoftext|>"
PAD = "<|pad|>"
USER = "<|user|>"
ASSISTANT = "<|assistant|>"
FIM_TOKENS = ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>")
"""Only a tokenizer whose model is trained to fill gaps has them: llama.cpp and editors take their presence for that."""
SPECIAL_TOKENS = (END_OF_TEXT, PAD, USER, ASSISTANT)
"""Their ids are their places, and `FIM_TOKENS` follow: 0 ends every document, and is begin- and end-of-sequence too."""
END_OF_TEXT_ID, PAD_ID, USER_ID, ASSISTANT_ID, FIM_PREFIX_ID, FIM_SUFFIX_ID, FIM_MIDDLE_ID = range(7)

MAX_CONTEXT = 2048
"""The longest context that any preset trains with; longer inputs are warned about by transformers."""

CHAT_TEMPLATE = """\
{%- set ns = namespace(system='') -%}
{%- for message in messages -%}
{%- if message['role'] == 'system' -%}
{%- set ns.system = ns.system ~ message['content'] ~ '\\n\\n' -%}
{%- elif message['role'] == 'user' -%}
{{- '<|user|>' ~ ns.system ~ message['content'] -}}
{%- set ns.system = '' -%}
{%- elif message['role'] == 'assistant' -%}
{{- '<|assistant|>' ~ message['content'] ~ '<|endoftext|>' -}}
{%- else -%}
{{- raise_exception('unknown role ' ~ message['role'] ~ ': use system, user or assistant') -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}
"""


def chat_document(instruction: str, source: str) -> str:
    """One exchange as a training document, as the chat template renders it; its end-of-text is added on encoding."""
    return f"{USER}{instruction}{ASSISTANT}{source}"


def train_tokenizer(texts: Iterable[str], vocab_size: int, directory: Path, *, fim: bool = False) -> Tokenizer:
    """Learns a tokenizer from `texts` and saves it as a folder that `AutoTokenizer` opens. Same texts, same file.

    `fim` gives it the markers of a model that is trained to fill gaps.

    Raises `TokenizerError` if the texts are too few for `vocab_size`, `WriteFailed` when the disk refuses.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[*SPECIAL_TOKENS, *(FIM_TOKENS if fim else ())],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator((_without_specials(text) for text in texts), trainer)
    if tokenizer.get_vocab_size() < vocab_size:
        raise TokenizerError(
            f"the texts give a vocabulary of only {tokenizer.get_vocab_size()} tokens, not {vocab_size}. "
            "Add more sources or set a smaller corpus.vocab_size."
        )
    save_tokenizer(tokenizer, directory)
    return tokenizer


def save_tokenizer(tokenizer: Tokenizer, directory: Path) -> None:
    """Writes tokenizer.json, tokenizer_config.json (with the chat template) and special_tokens_map.json."""
    specials = {"bos_token": END_OF_TEXT, "eos_token": END_OF_TEXT, "pad_token": PAD}
    additional = [USER, ASSISTANT, *(FIM_TOKENS if can_infill(tokenizer) else ())]
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        **specials,
        "additional_special_tokens": additional,
        "model_max_length": MAX_CONTEXT,
        "clean_up_tokenization_spaces": False,
        "chat_template": CHAT_TEMPLATE,
    }
    special_map = {**specials, "additional_special_tokens": additional}
    with atomic_folder(directory) as folder:
        (folder / "tokenizer.json").write_text(tokenizer.to_str(pretty=True), encoding="utf-8")
        (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
        (folder / "special_tokens_map.json").write_text(json.dumps(special_map, indent=2), encoding="utf-8")


def load_tokenizer(directory: Path) -> Tokenizer:
    """Opens a folder that `train_tokenizer` (or a checkpoint of ours) holds. For foreign models use `AutoTokenizer`.

    One of an earlier release, without `FIM_TOKENS`, loads: its model can't fill gaps, and all else holds.

    Raises `TokenizerError` if it is missing, damaged, or has other special tokens.
    """
    path = directory / "tokenizer.json"
    if not path.is_file():
        raise TokenizerError(
            f"no tokenizer at {path}. Build the corpus first, or name a folder that holds tokenizer.json."
        )
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises bare Exception
        raise TokenizerError(f"{path} is damaged ({error}). Build the corpus again.") from error
    if [tokenizer.token_to_id(token) for token in SPECIAL_TOKENS] != list(range(len(SPECIAL_TOKENS))):
        raise TokenizerError(f"{path} is another project's tokenizer: ids 0 to 3 must be {', '.join(SPECIAL_TOKENS)}.")
    return tokenizer


def can_infill(tokenizer: Tokenizer) -> bool:
    """Whether it has the markers for a gap, at their ids."""
    return [tokenizer.token_to_id(token) for token in FIM_TOKENS] == [FIM_PREFIX_ID, FIM_SUFFIX_ID, FIM_MIDDLE_ID]


def tokenizer_sha256(directory: Path) -> str:
    """Identifies a tokenizer; token files carry it."""
    return hashlib.sha256((directory / "tokenizer.json").read_bytes()).hexdigest()


def training_sample(corpus: Sequence[str], extra: Sequence[str], size: int, extra_share: float, seed: int) -> list[str]:
    """About `size` characters to learn merges from, `extra_share` of them from `extra` (repeated if it is small)."""
    rng = random.Random(seed)
    sample: list[str] = []
    share = extra_share if extra else 0.0
    for texts, budget, repeat in ((corpus, size * (1 - share), False), (extra, size * share, True)):
        order = rng.sample(range(len(texts)), len(texts))
        while order and budget > 0:
            for index in order:
                sample.append(texts[index])
                budget -= len(texts[index])
                if budget <= 0:
                    break
            if not repeat:
                break
    return sample


def _without_specials(text: str) -> str:
    for token in (*SPECIAL_TOKENS, *FIM_TOKENS):
        text = text.replace(token, "\n")
    return text
