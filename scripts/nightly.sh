#!/usr/bin/env bash
# The proofs at full size and the benchmark of the reward farm: hours. Ends with a summary; fails if anything failed.
#
#   ./scripts/nightly.sh [pytest options]
set -uo pipefail
cd "$(dirname "$0")/.."
. scripts/setup.sh
set_up
export OMP_NUM_THREADS=1
PATH="$PWD/.venv/bin:$PATH"
out=runs/nightly/$(date +%Y%m%d-%H%M%S)
mkdir -p "$out"
python -m pytest -m nightly --durations=0 "$@" 2>&1 | tee "$out/tests.log"
tests=$?
# Alone on the machine: nothing else of ours runs beside it.
python -m benchmarks.reward_farm --json "$out/reward-farm.json" 2>&1 | tee "$out/reward-farm.log"
measured=$?
echo
echo "nightly: tests ended with $tests, the benchmark with $measured; everything is in $out"
exit $((tests || measured))
