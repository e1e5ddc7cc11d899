#!/bin/sh
# Makes .venv with the locked dependencies and the command `westward`. Needs python 3.11 or newer.
# Done once; done again when requirements.lock, pyproject.toml or the interpreter changes.
set -eu
cd "$(dirname "$0")/.."

say() { echo "setup: $*"; }
fail() {
    echo "setup: $*" >&2
    exit 1
}

python=""
for candidate in ${PYTHON:-} python3 python3.14 python3.13 python3.12 python3.11; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        python=$candidate
        break
    fi
done
[ -n "$python" ] || fail "no python 3.11 or newer found. Install one, or name it: PYTHON=/path/to/python3 make run"

digest() { cat "$@" | sha256sum | cut -d ' ' -f 1; }

# Compiled kernels are kept beside their sources; compiled anew when those change.
warm() {
    # The types kernels take and the compiler's switch count too: see KERNEL_FILES in westward/jit.py.
    kernels=$(digest westward/jit.py westward/compiler.py westward/placement/state.py westward/placement/slots.py \
        westward/placement/columns.py westward/placement/fresh_state.py westward/placement/warm.py $(grep -rl --include='*.py' '^@jit' westward | sort))
    if [ "$(cat .venv/westward-warm 2>/dev/null)" != "$kernels" ]; then
        say "compiling the kernels (once, one to two minutes)"
        .venv/bin/python -m westward.simulate.warm networks/laptop >/dev/null
        echo "$kernels" >.venv/westward-warm
    fi
}

stamp=.venv/westward-setup
want=$(digest requirements.lock pyproject.toml scripts/setup.sh)-$("$python" -V | tr ' ' '-')
if [ -x .venv/bin/westward ] && [ "$(cat "$stamp" 2>/dev/null)" = "$want" ]; then
    warm
    exit 0
fi

# An environment of another interpreter, or one that was copied here, cannot be repaired.
if [ -d .venv ] && ! [ "$(.venv/bin/python -c 'import sys; print(sys.prefix)' 2>/dev/null)" = "$(pwd -P)/.venv" ]; then
    say "replacing an environment that does not work here"
    rm -rf .venv
fi

if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
    rm -rf .venv
    if ! "$python" -c 'import ensurepip' 2>/dev/null; then
        # Debian and Ubuntu ship python without the part that makes environments.
        if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
            say "installing python3-venv (this python cannot make environments without it)"
            DEBIAN_FRONTEND=noninteractive
            export DEBIAN_FRONTEND
            { apt-get update -qq && apt-get install -y -qq python3-venv; } >/dev/null 2>&1 || true
        fi
        "$python" -c 'import ensurepip' 2>/dev/null || fail "$python cannot make a virtual environment. As root: apt-get install python3-venv"
    fi
    say "making .venv with $("$python" -V)"
    "$python" -m venv .venv
fi

rm -f "$stamp"
PIP_DISABLE_PIP_VERSION_CHECK=1
PIP_NO_INPUT=1
export PIP_DISABLE_PIP_VERSION_CHECK PIP_NO_INPUT
say "installing $(grep -c '^[a-zA-Z]' requirements.lock) locked packages (some 300 MB to download, once)"
# The lock is complete but for the documentation tools that py-tes wrongly calls dependencies.
.venv/bin/python -m pip install --quiet --no-deps --require-hashes -r requirements.lock
say "installing westward itself"
.venv/bin/python -m pip install --quiet --no-deps --no-build-isolation -e .

warm
echo "$want" >"$stamp"
say "done: .venv/bin/westward"
