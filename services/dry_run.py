"""`ferrotype run --dry-run`: what a run would do, with what, and whether it could here. Starts and writes nothing."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from services.config import RunConfig
from services.console import duration
from services.doctor import Health, examine
from services.doctor.table import machine, wide_console
from services.layers import Layer, flatten, origins, validate
from services.pipeline import PHASES
from services.run_folder import RunFolder

DEFAULT = "default"


def rehearse(folder: RunFolder, layers: Sequence[Layer]) -> bool:
    """Print the configuration with where each value comes from, the phases and the machine; True if it could run.

    Raises:
        ConfigError: the configuration is wrong, or the folder is a run with another.
    """
    config = validate(RunConfig, layers)
    folder.accept(config)
    checks = examine(config, folder.root)
    console = wide_console()
    console.print(configuration(config, layers), phases(config, folder), machine(checks))
    ready = not any(check.health is Health.MISSING for check in checks)
    if ready:
        console.print(f"[green]ready[/]: the same command without --dry-run goes on in {folder.root}")
    else:
        console.print("[red]not ready[/]: see the machine's missing parts above")
    return ready


def configuration(config: RunConfig, layers: Sequence[Layer]) -> Table:
    """Every key, its value and the layer that it comes from; what was given stands out from what is default."""
    table = Table("key", "value", "from", title="configuration", title_justify="left")
    given = origins(layers)
    for key, value in flatten(config.model_dump(mode="json")).items():
        source = given.get(key, DEFAULT)
        if source == DEFAULT and key.endswith(".seed") and value == config.seed:
            source = given.get("seed", DEFAULT)
        table.add_row(key, str(value), source, style="dim" if source == DEFAULT else None)
    return table


def phases(config: RunConfig, folder: RunFolder) -> Table:
    """What each phase would do, or that it is done."""
    train, grpo = config.pretrain, config.grpo
    first, last = config.supervised_steps
    work = {
        "base": f"{train.base_steps} steps of {train.batch_size} x {train.context} tokens",
        "supervised": f"{last - first} steps of {train.batch_size} x {train.context}",
        "rl": f"{grpo.iterations} iterations of {grpo.prompts_per_step} tasks x {grpo.group_size} completions, "
        f"at most {grpo.max_completion_tokens} tokens each, loss {grpo.loss}, advantage {grpo.advantage}"
        + (f", an adapter of rank {grpo.lora_rank}" if grpo.lora_rank else ""),
    }
    table = Table("phase", "what", "state", title="phases", title_justify="left")
    for phase in PHASES:
        done = folder.finished(phase.name)
        state = f"[green]done in {duration(done.seconds)}[/]" if done else "to do"
        given = config.start_from is not None and (phase.name == "base" or (phase.name == "supervised" and not last))
        table.add_row(phase.name, "skipped: start_from is given" if given else work.get(phase.name, phase.title), state)
    return table
