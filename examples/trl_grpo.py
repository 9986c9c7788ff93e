"""Two steps of TRL's GRPOTrainer on a tiny model with random weights, rewarded by the farm. Takes a minute on one core.

    pip install trl==1.16.0 datasets && python examples/trl_grpo.py

Run with trl 1.16.0, transformers 5.19.0 and torch 2.13.0. A random model writes no Rust, so its prompts are finished
functions that end in a comment: bytes that stay in it leave the function right, and a line break mostly does not.
With a real model, put its name for `model`, leave `processing_class` out, and let the prompts end in `{`.
"""

import json
import tempfile

import torch
from datasets import Dataset
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from trl import GRPOConfig, GRPOTrainer

from reward_farm.adapters.trl import RustReward
from reward_farm.document import write_problem
from reward_farm.problem import Case, Problem

DOUBLE = Problem("double", ("i32",), "i32", (Case((2,), 4), Case((-3,), -6)))
EVEN = Problem("even", ("i32",), "bool", (Case((2,), True), Case((3,), False)))
TASKS = {
    "/// Twice `x`.\npub fn double(x: i32) -> i32 { x * 2 } //": DOUBLE,
    "/// Whether `x` is even.\npub fn even(x: i32) -> bool { x % 2 == 0 } //": EVEN,
}


def rows() -> Dataset:
    """A row for each task: the prompt to go on from, and its problem with that prompt, as text."""
    return Dataset.from_list(
        [
            {"prompt": prompt, "problem": json.dumps({**write_problem(task), "prompt": prompt})}
            for prompt, task in TASKS.items()
        ]
    )


def tiny_model() -> tuple[LlamaForCausalLM, PreTrainedTokenizerFast]:
    """A Llama of a few thousand weights, whose tokens are bytes."""
    letters = {letter: number for number, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    vocabulary = {**letters, "<end>": len(letters), "<pad>": len(letters) + 1}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(vocabulary), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
        eos_token_id=vocabulary["<end>"], pad_token_id=vocabulary["<pad>"],
    )  # fmt: skip
    return LlamaForCausalLM(config), PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<end>", pad_token="<pad>", padding_side="left"
    )


def main() -> None:
    """Train, and print what TRL logged of the reward."""
    model, tokenizer = tiny_model()
    with tempfile.TemporaryDirectory() as folder:
        trainer = GRPOTrainer(
            model=model,
            processing_class=tokenizer,
            reward_funcs=RustReward(),
            train_dataset=rows(),
            args=GRPOConfig(
                output_dir=folder, max_steps=2, per_device_train_batch_size=8, num_generations=8,
                max_completion_length=96, use_cpu=True, bf16=False, report_to="none", logging_steps=1,
                save_strategy="no", disable_tqdm=True,
            ),
        )  # fmt: skip
        trainer.train()
        for entry in trainer.state.log_history:
            if "reward" in entry:
                reward, spread = entry["reward"], entry["reward_std"]
                print(f"step {entry['step']}: reward {reward:.2f}, spread {spread:.2f}, loss {entry['loss']:.3f}")


if __name__ == "__main__":
    main()
