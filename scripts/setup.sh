# Sourced by the other scripts: makes .venv hold exactly the locked packages and checks for what pip can't install.
# A finished installation is known by the hash of what it was made from, and is not made again.

export RAY_USAGE_STATS_ENABLED=0 VLLM_NO_USAGE_STATS=1 DO_NOT_TRACK=1 HF_HUB_OFFLINE=1
# Ray listens on the loopback address alone; without this it binds the machine's own address.
export RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER=0
# Python keeps what it compiled. Where a container image forbids that, every process that imports vLLM compiles it again,
# which doubles the time that engines take to start.
unset PYTHONDONTWRITEBYTECODE

fail() {
    echo "error: $1" >&2
    exit 1
}

has_gpu() {
    command -v nvidia-smi >/dev/null && nvidia-smi --list-gpus 2>/dev/null | grep -q .
}

# want COMMAND PACKAGE: the Debian package that gives a command, installed if we may.
want() {
    command -v "$1" >/dev/null && return
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "setup: installing $2, since $1 is missing"
        local install="apt-get install -y -qq --no-install-recommends $2"
        { $install || { apt-get update -qq && $install; }; } >/dev/null 2>&1 || true
    fi
    command -v "$1" >/dev/null
}

# need COMMAND PACKAGE: as want, and without it we can't go on.
need() {
    want "$1" "$2" || fail "$1 is missing. Install it with: sudo apt-get install $2"
}

find_python() {
    for python in ${PYTHON:-} python3.11 python3; do
        if "$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then
            echo "$python"
            return
        fi
    done
    fail "Python 3.11 is missing (the locks are made for it). Install it with: sudo apt-get install python3.11 python3.11-venv
(or name one: PYTHON=/path/to/python3.11 $0)"
}

install_packages() {
    local lock=requirements/cpu.lock python wanted
    has_gpu && lock=requirements/gpu.lock
    wanted=$(cat "$lock" pyproject.toml scripts/setup.sh | sha256sum)
    [ "$(cat .venv/.installed 2>/dev/null)" = "$wanted" ] && return
    python=$(find_python)
    echo "setup: installing $(grep -c == "$lock") packages of $lock into .venv (some minutes, once)"
    rm -rf .venv
    "$python" -m venv .venv || fail "no virtual environment could be made. Install: sudo apt-get install python3.11-venv"
    # --no-compile: Python compiles what is imported, when it is; compiling all of torch and vllm takes over a minute.
    .venv/bin/pip install -qq --no-compile --disable-pip-version-check --no-deps -r "$lock" ||
        fail "the packages of $lock could not be installed (see above). Run $0 again when that is mended."
    .venv/bin/pip install -qq --disable-pip-version-check --no-deps --no-build-isolation -e . ||
        fail "ferrotype itself could not be installed (see above)"
    .venv/bin/python -c 'import torch' 2>/dev/null ||
        fail "the torch that pip found does not run here. On a machine without a GPU it must be the CPU build: see the
head of $lock"
    # Compiled here for who calls .venv/bin/ferrotype himself where Python may not keep it.
    .venv/bin/python -c 'import rollout.engine, trainer.grpo.algorithm, ray.serve' >/dev/null 2>&1 || true
    echo "$wanted" >.venv/.installed
}

# set_up: everything a command of ours needs. One at a time: a second script waits for the first one's installation.
set_up() {
    need bwrap bubblewrap
    need cc gcc
    command -v rustc >/dev/null ||
        fail "rustc is missing: the Rust compiler is the teacher. Install Rust 1.85 or newer with rustup, or on Debian 13 and
newer with: sudo apt-get install rustc"
    mkdir -p .cache
    exec 9>.cache/setup.lock
    flock 9 && install_packages
    exec 9>&-
}
