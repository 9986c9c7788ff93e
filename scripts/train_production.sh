#!/usr/bin/env bash
# The main job: corpus, pre-training, GRPO on rewards from rustc, evaluation, GGUF, report. Run again, it goes on.
#
#   ./scripts/train_production.sh [options of `ferrotype run`]
#
# Without a GPU it takes the preset `embedded`, with one `production`; --preset NAME takes another. The variables
# BATCH_SIZE, TARGET_STEPS, CHECKPOINT_INTERVAL, RL_ITERATIONS and DEVICE override the preset.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/setup.sh
set_up
preset=embedded
if has_gpu; then preset=production; fi
exec .venv/bin/python -m services run --preset "$preset" "$@"
