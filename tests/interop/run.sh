#!/usr/bin/env bash
# Runs the checks against the built hub: `run.sh libraries` or `run.sh schemathesis`. Called by `make interop` and
# `make schemathesis`. TRUNKLINE_BIN names another binary than target/debug/trunkline.
set -euo pipefail
cd "$(dirname "$0")"

what=${1:?usage: run.sh libraries|schemathesis}
export TRUNKLINE_BIN=${TRUNKLINE_BIN:-${CARGO_TARGET_DIR:-$PWD/../../target}/debug/trunkline}
export PYTHONDONTWRITEBYTECODE=1 HYPOTHESIS_STORAGE_DIRECTORY=$PWD/.venv/hypothesis

if ! cmp -s requirements.txt .venv/installed.txt; then
    python3 -m venv --clear .venv
    .venv/bin/pip install --quiet --disable-pip-version-check --requirement requirements.txt
    cp requirements.txt .venv/installed.txt
fi

case $what in
libraries)
    if ! cmp -s package-lock.json node_modules/installed.json; then
        npm ci --no-audit --no-fund --ignore-scripts --loglevel=error
        cp package-lock.json node_modules/installed.json
    fi
    export TRUNKLINE_TEST_REQUIRE_NODE=1 TRUNKLINE_TEST_REQUIRE_CRYPTOGRAPHY=1
    pytest=(.venv/bin/python -m pytest -q -p no:cacheprovider -p no:schemathesis)
    "${pytest[@]}" .
    exec "${pytest[@]}" ../receivers/check.py
    ;;
schemathesis) exec .venv/bin/python break_the_api.py ;;
*)
    echo "unknown: $what" >&2
    exit 2
    ;;
esac
