#!/usr/bin/env bash
# Follows a run from another terminal: its phases and losses, as they are logged.
#
#   ./scripts/monitor_production.sh [RUN_DIR]        (the run that was written to last, if none is given)
set -euo pipefail
cd "$(dirname "$0")/.."
run=${1:-$(ls -td runs/*/ 2>/dev/null | head -1)}
log=$(ls -t "${run:-runs/none}"/logs/production_training_*.log 2>/dev/null | head -1) || true
if [ -z "${log:-}" ]; then
    echo "error: there is no log in ${run:-runs/}. Start a run with ./scripts/train_production.sh" >&2
    exit 1
fi
echo "following $log (Ctrl-C stops the following, not the run)"
tail -n +1 -F "$log" | grep --line-buffered -E 'PHASE|loss=|reward=|error'
