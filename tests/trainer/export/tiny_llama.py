"""A tiny Llama checkpoint with a real byte-level BPE tokenizer, for tests of the exporter and of the server."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM

from trainer.model import make_ternary, materialised_weights

SPECIAL_TOKENS = ["<|endoftext|>", "<|pad|>", "<|user|>", "<|assistant|>"]

CHAT_TEMPLATE = (
    "{%- set ns = namespace(system='') -%}"
    "{%- for m in messages -%}"
    "{%- if m['role'] == 'system' -%}{%- set ns.system = ns.system + m['content'] + '\\n\\n' -%}"
    "{%- elif m['role'] == 'user' -%}{{- '<|user|>' + ns.system + m['content'] -}}{%- set ns.system = '' -%}"
    "{%- else -%}{{- '<|assistant|>' + m['content'] + '<|endoftext|>' -}}{%- endif -%}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}"
)

RUST = r"""
/// Returns the sum of the even numbers in `values`, or `None` if there are none.
pub fn sum_even(values: &[i32]) -> Option<i64> {
    let even: Vec<i64> = values.iter().filter(|v| *v % 2 == 0).map(|&v| i64::from(v)).collect();
    if even.is_empty() { None } else { Some(even.iter().sum()) }
}

#[derive(Debug, Clone, PartialEq)]
pub enum Shape<'a> { Circle { radius: f64 }, Named(&'a str, u32), Empty }

impl<'a> Shape<'a> {
    pub const MAX: usize = 0xFF_u8 as usize + 1_000_000;
    pub fn area(&self) -> Result<f64, String> {
        match self {
            Shape::Circle { radius } if *radius >= 0.0 => Ok(3.14159265 * radius.powi(2)),
            Shape::Named(name, sides @ 3..=12) => Err(format!("{name}: {sides} sides, don't know\t\u{1F980}\n")),
            _ => Err("empty — naïve größe".to_string()),
        }
    }
}

macro_rules! square { ($x:expr) => { $x * $x }; }

fn main() {
    let text = r#"raw "string" {}"#;
    for (i, c) in text.chars().enumerate().skip(2) { println!("{i:>4}: {c:?} {}", square!(i)); }
    // 漢字 and emoji 🦀 in a comment; 12345 digits, 1e-9f64 floats
}
"""


def write_tokenizer(directory: Path, vocab_size: int = 600, more_tokens: tuple[str, ...] = ()) -> Tokenizer:
    """Train the tokenizer on a little Rust and save it in transformers' form."""
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
        special_tokens=[*SPECIAL_TOKENS, *more_tokens],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([RUST] * 2, trainer)
    tokenizer.save(str(directory / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": "<|endoftext|>",
        "bos_token": "<|endoftext|>",
        "pad_token": "<|pad|>",
        "chat_template": CHAT_TEMPLATE,
    }
    (directory / "tokenizer_config.json").write_text(json.dumps(config))
    return tokenizer


def write_checkpoint(
    directory: Path,
    *,
    hidden: int = 256,
    ffn: int = 256,
    ternary: bool = True,
    tied: bool = True,
    steps: int = 60,
    more_tokens: tuple[str, ...] = (),
) -> Path:
    """Train a small Llama on a page of Rust for a few seconds, so that its next tokens mean something, and save it."""
    directory.mkdir(parents=True, exist_ok=True)
    tokenizer = write_tokenizer(directory, more_tokens=more_tokens)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=tokenizer.get_vocab_size() + 8,
        hidden_size=hidden,
        intermediate_size=ffn,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        tie_word_embeddings=tied,
        ferrotype={"ternary": ternary},
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=1,
    )
    model = LlamaForCausalLM(config)
    if ternary:
        make_ternary(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    text = torch.tensor([*tokenizer.encode(RUST).ids, 0])
    for _ in range(steps):
        starts = torch.randint(len(text) - 48, (8,))
        batch = torch.stack([text[start : start + 48] for start in starts])
        model(batch, labels=batch).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    config.save_pretrained(directory)
    save_file(materialised_weights(model), directory / "model.safetensors", metadata={"format": "pt"})
    return directory
