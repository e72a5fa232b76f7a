#!/usr/bin/env bash
# Measures a BullMQ worker that delivers signed webhooks, beside a Redis of its own that goes with it:
#   run.sh --sink URL [--jobs N] [--mode drain|flow] [--concurrency N] [--threads N] [--appendfsync everysec|always]
# The last line of standard output is the result as JSON; everything else goes to standard error.
# Exit codes: 0 measured, 1 failed, 2 wrong arguments, 3 skipped because something it needs is not installed.
set -euo pipefail
cd "$(dirname "$0")"

appendfsync=everysec
arguments=()
while [ $# -gt 0 ]; do
    case $1 in
    --appendfsync)
        appendfsync=${2:?--appendfsync needs everysec, always or no}
        shift 2
        ;;
    *)
        arguments+=("$1")
        shift
        ;;
    esac
done

skip() {
    echo "SKIPPED: the comparison with BullMQ needs $1" >&2
    exit 3
}
command -v redis-server >/dev/null || skip "redis-server, which is not installed"
command -v node >/dev/null || skip "Node.js, which is not installed"
node -e 'const [a, b] = process.versions.node.split("."); process.exit(a > 20 || (a == 20 && b >= 19) ? 0 : 1)' ||
    skip "Node.js 20.19 or newer; this is $(node --version)"

if ! cmp -s package-lock.json node_modules/installed.json; then
    command -v npm >/dev/null || skip "npm, which is not installed"
    npm ci --no-audit --no-fund --ignore-scripts --loglevel=error >&2
    cp package-lock.json node_modules/installed.json
fi

folder=$(mktemp -d "${TMPDIR:-/tmp}/trunkline-bullmq.XXXXXX")
redis_pid=""
worker_pid=""
clean_up() {
    for pid in $worker_pid $redis_pid; do
        kill "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    rm -rf "$folder"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# Somebody else may take the port between the question and the start: then Redis ends at once, and another one is tried.
port=""
for _ in 1 2 3 4 5; do
    port=$(node -e 'const s = require("net").createServer().listen(0, "127.0.0.1", () => { console.log(s.address().port); s.close(); })')
    redis-server --port "$port" --bind 127.0.0.1 --dir "$folder" --save '' --appendonly yes --appendfsync "$appendfsync" \
        --maxmemory-policy noeviction --daemonize no >"$folder/redis.log" 2>&1 &
    redis_pid=$!
    while kill -0 "$redis_pid" 2>/dev/null && ! grep -q 'Ready to accept connections' "$folder/redis.log"; do
        sleep 0.05
    done
    if kill -0 "$redis_pid" 2>/dev/null; then break; fi
    wait "$redis_pid" || true
    redis_pid=""
done
if [ -z "$redis_pid" ]; then
    echo "Redis does not start:" >&2
    cat "$folder/redis.log" >&2
    exit 1
fi
echo "redis-server on 127.0.0.1:$port: appendonly yes, appendfsync $appendfsync, no snapshots" >&2

NODE_ENV=production node worker.mjs --redis "redis://127.0.0.1:$port" "${arguments[@]}" &
worker_pid=$!
status=0
wait "$worker_pid" || status=$?
worker_pid=""
exit "$status"
