#!/usr/bin/env bash
# The tests, as CI runs them: lint, format, types, package borders, then pytest with real rustc, bubblewrap, vLLM and Ray.
#
#   ./scripts/test.sh [pytest options]
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/setup.sh
set_up
# Tests run beside Ray, vLLM and rustc: with more than one thread each, OpenMP's spinning makes them slower, not faster.
export OMP_NUM_THREADS=1
PATH="$PWD/.venv/bin:$PATH"
ruff check .
ruff format --check .
mypy
lint-imports
exec python -m pytest "$@"
