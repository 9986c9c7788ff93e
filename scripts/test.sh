#!/usr/bin/env bash
# The tests, as CI runs them: lint, format, types, package borders, then pytest with real rustc, bubblewrap, vLLM and Ray.
#
#   ./scripts/test.sh [pytest options]
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/setup.sh
set_up
want kubectl kubernetes-client || echo "note: kubectl is missing, so tests of the Kubernetes manifests are skipped"
# Pages are tested in a real browser.
want chromium chromium || echo "note: chromium is missing, so tests of pages in a browser are skipped"
# Tests run beside Ray, vLLM and rustc: with more than one thread each, OpenMP's spinning makes them slower, not faster.
export OMP_NUM_THREADS=1
PATH="$PWD/.venv/bin:$PATH"
ruff check .
ruff format --check .
mypy
lint-imports
# Two at a time: much of what tests do is to wait for engines and clusters. tests/conftest.py says which stay together.
exec python -m pytest --numprocesses=2 --dist=loadscope --no-loadscope-reorder "$@"
