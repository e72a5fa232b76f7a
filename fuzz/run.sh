#!/usr/bin/env bash
# Runs one fuzz target: ./run.sh TARGET [SECONDS]; builds them all: ./run.sh build; or only looks whether they compile, sharing
# what the main workspace's tests have built: ./run.sh check. Works on the stable toolchain.
#
# Coverage comes from LLVM's own pass, as the compiler of the stable channel has it; no sanitizer runs, because the code under
# test is safe Rust and panics are what is looked for. --target keeps the flags away from build scripts and macros.
set -euo pipefail
cd "$(dirname "$0")"

target=${1:?usage: ./run.sh TARGET [SECONDS] | build | check | list}
seconds=${2:-600}
if [ "$target" = list ]; then
    sed -n 's/^name = "\(.*\)"/\1/p' Cargo.toml | grep -v trunkline-fuzz
    exit
fi

if [ "$target" = check ]; then
    CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/../target}" exec cargo check --locked --bins
fi

host=$(rustc -vV | sed -n 's/^host: //p')
export RUSTFLAGS="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}"

if [ "$target" = build ]; then
    exec cargo build --release --target "$host" --bins
fi
cargo build --release --target "$host" --bin "$target"
mkdir -p "corpus/$target" "artifacts/$target"
[ -x "seeds/$target.sh" ] && "seeds/$target.sh" "corpus/$target"
seeds=()
[ -d "seeds/$target" ] && seeds=("seeds/$target")
dictionary=()
[ -f "seeds/$target.dict" ] && dictionary=("-dict=seeds/$target.dict")
exec "$CARGO_TARGET_DIR/$host/release/$target" "corpus/$target" "${seeds[@]}" "${dictionary[@]}" \
    -max_total_time="$seconds" -artifact_prefix="artifacts/$target/" -timeout=10 -rss_limit_mb=2048 \
    -max_len=4096 -print_final_stats=1
