"""The farm behind verl's own reward manager: verl's configuration finds the function, verl calls it. Takes ten seconds.

    pip install --no-deps verl==0.9.1 && pip install tensordict hydra-core codetiming && python examples/verl_manager.py

Run with verl 0.9.1 on a CPU. In a training run the same two overrides go to `python -m verl.trainer.main_ppo`.
"""

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra import compose, initialize_config_module
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast
from verl import DataProto
from verl.trainer.ppo.reward import load_reward_manager
from verl_reward import ANSWERS, ROW

from reward_farm.adapters import verl as adapter

OVERRIDES = [
    f"reward.custom_reward_function.path={Path(adapter.__file__).resolve()}",
    "reward.custom_reward_function.name=compute_score",
]


def bytes_tokenizer() -> PreTrainedTokenizerFast:
    """A token a byte: enough for verl to decode an answer."""
    alphabet = {char: number for number, char in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(alphabet, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


async def main() -> None:
    """Prints what verl makes of two answers, judged at the same time."""
    tokenizer = bytes_tokenizer()
    with initialize_config_module("verl.trainer.config", version_base=None):
        manager = load_reward_manager(compose("ppo_trainer", overrides=OVERRIDES), tokenizer)

    def rollout(answer: str) -> Any:
        ids = torch.tensor([tokenizer.encode(answer)])
        columns = {"data_source": ROW["data_source"], "reward_model": ROW["reward_model"], "extra_info": {}}
        return DataProto.from_dict(
            tensors={"prompts": ids[:, :1], "responses": ids, "attention_mask": torch.ones_like(ids)},
            non_tensors={name: np.array([value], dtype=object) for name, value in columns.items()},
        )

    for judged in await asyncio.gather(*(manager.run_single(rollout(answer)) for answer in ANSWERS)):
        print(judged["reward_score"], judged["reward_extra_info"])


if __name__ == "__main__":
    asyncio.run(main())
