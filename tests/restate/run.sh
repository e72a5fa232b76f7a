#!/usr/bin/env bash
# Measures workflows of ten steps on a Restate server of its own:
#   run.sh [--effects noop|http] [--sink URL] [--workflows N] [--concurrency N]
# The last line of standard output is the result as JSON; everything else goes to standard error.
# Exit codes: 0 measured, 1 failed, 2 wrong arguments, 3 skipped because something it needs is not installed.
set -euo pipefail
cd "$(dirname "$0")"

skip() {
    echo "SKIPPED: the comparison with Restate needs $1" >&2
    exit 3
}
command -v node >/dev/null || skip "Node.js, which is not installed"
node -e 'const [a, b] = process.versions.node.split("."); process.exit(a > 20 || (a == 20 && b >= 19) ? 0 : 1)' ||
    skip "Node.js 20.19 or newer; this is $(node --version)"

if ! cmp -s package-lock.json node_modules/installed.json; then
    command -v npm >/dev/null || skip "npm, which is not installed"
    npm ci --no-audit --no-fund --ignore-scripts --loglevel=error >&2
    cp package-lock.json node_modules/installed.json
fi
server=$(ls node_modules/@restatedev/restate-server-*/bin/restate-server 2>/dev/null | head -1)
[ -n "$server" ] || skip "a Restate server for this kind of machine, which npm does not have"

folder=$(mktemp -d "${TMPDIR:-/tmp}/trunkline-restate.XXXXXX")
server_pid=""
measure_pid=""
clean_up() {
    for pid in $measure_pid $server_pid; do
        kill "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    rm -rf "$folder"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# Somebody else may take a port between the question and the start: then the server ends, and others are tried.
for _ in 1 2 3 4 5; do
    read -r ingress admin fabric < <(node -e '
        const net = require("net");
        const listen = () => new Promise((done) => { const s = net.createServer().listen(0, "127.0.0.1", () => done(s)); });
        Promise.all([listen(), listen(), listen()]).then((all) => {
            console.log(all.map((s) => s.address().port).join(" "));
            all.forEach((s) => s.close());
        });')
    RUST_LOG=warn RESTATE_DISABLE_TELEMETRY=true RESTATE_BASE_DIR="$folder" RESTATE_BIND_IP=127.0.0.1 RESTATE_BIND_PORT="$fabric" \
        RESTATE_INGRESS__BIND_PORT="$ingress" RESTATE_ADMIN__BIND_PORT="$admin" \
        "$server" --no-logo --listen-mode tcp >"$folder/server.log" 2>&1 &
    server_pid=$!
    is_ready() {
        curl --silent --fail --output /dev/null "http://127.0.0.1:$admin/health" &&
            curl --silent --fail --output /dev/null "http://127.0.0.1:$ingress/restate/health"
    }
    for _ in $(seq 300); do
        if ! kill -0 "$server_pid" 2>/dev/null || is_ready; then break; fi
        sleep 0.1
    done
    if kill -0 "$server_pid" 2>/dev/null && is_ready; then break; fi
    kill "$server_pid" 2>/dev/null || true
    wait "$server_pid" || true
    server_pid=""
done
if [ -z "$server_pid" ]; then
    echo "the Restate server does not start:" >&2
    tail -20 "$folder/server.log" >&2
    exit 1
fi
echo "restate-server on 127.0.0.1:$ingress, defaults but for its log, which tells warnings only" >&2

RESTATE_LOGGING=ERROR NODE_ENV=production node measure.mjs --ingress "http://127.0.0.1:$ingress" --admin "http://127.0.0.1:$admin" --pid "$server_pid" "$@" &
measure_pid=$!
status=0
wait "$measure_pid" || status=$?
measure_pid=""
exit "$status"
