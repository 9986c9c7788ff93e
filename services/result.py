"""The last lines of a run: what it made, and the commands that evaluate, serve and call it."""

from __future__ import annotations

from collections.abc import Mapping

from services.run_folder import Finished, RunFolder

REQUEST = (
    """{"messages": [{"role": "user", "content": "Write a Rust function to reverse a string"}], "max_tokens": 256}"""
)


def closing_lines(run: RunFolder, results: Mapping[str, Finished]) -> list[str]:
    """Lines for the terminal and the log."""
    made = {
        "base model": run.made("base"),
        "supervised": run.made("supervised"),
        "after RL": run.made("rl"),
        "GGUF": run.made("export", "model"),
        "report": run.made("report", "page"),
    }
    peak = max(result.peak_memory_mb for result in results.values())
    rates = results["evaluation"].summary
    return [
        "",
        "On unseen tasks                  compiles   passes its tests",
        *(f"  {name:<30}{_rate(rates, label, 'compile_rate')}   {_rate(rates, label, 'pass_rate')}"
          for name, label in (("base", "base"), ("supervised", "supervised"), ("after RL", "rl"))),
        "",
        f"Made (peak memory {peak / 1024:.1f} GiB)",
        *(f"  {name:<12}{path}" for name, path in made.items()),
        "",
        "Evaluate, serve, call",
        f"  ferrotype eval --checkpoint {made['after RL']}",
        f"  ferrotype generate --checkpoint {made['after RL']} --prompt 'fn add(a: i32, b: i32) -> i32 {{'",
        f"  ferrotype serve --model {made['GGUF']} --port 8080",
        "  curl -X POST http://localhost:8080/v1/chat/completions -H 'Content-Type: application/json' \\",
        f"    -d '{REQUEST}'",
        "(ferrotype is .venv/bin/ferrotype; `source .venv/bin/activate` puts it on the path)",
    ]  # fmt: skip


def _rate(rates: Mapping[str, object], label: str, figure: str) -> str:
    value = rates.get(f"{label}_{figure}")
    return f"{value:8.1%}" if isinstance(value, float) else "       ?"
