#!/usr/bin/env bash
# From nothing to a ranked list of hardware, on a fresh Debian 12 as root:
# installs packages, builds, starts a server and a worker, imports a real gem5
# trace, uploads it, waits for its program vector, and ranks the architectures.
#
#   deploy/quickstart.sh [--keep]
#
# --keep leaves the server and the worker running. Everything is written under
# build/.
set -euo pipefail
cd "$(dirname "$0")/.."

keep=false
case "${1:-}" in
  "") ;;
  --keep) keep=true ;;
  *)
    echo "usage: deploy/quickstart.sh [--keep]" >&2
    exit 2
    ;;
esac

step() { printf '\n== %s\n' "$*"; }

step "Installing packages"
deploy/install_packages.sh build

step "Building"
mkdir -p build
cmake --preset release -DPERFVEC_BUILD_TESTS=OFF \
  -DCMAKE_C_COMPILER_LAUNCHER=ccache -DCMAKE_CXX_COMPILER_LAUNCHER=ccache \
  >build/configure.log 2>&1 || { cat build/configure.log >&2; exit 1; }
cmake --build --preset release --target perfvec-server perfvec-worker perfvec

bin=$PWD/build/release
data=$PWD/build/quickstart
rm -rf "$data"
mkdir -p "$data"

# Free ports, so that a service that runs already is left alone.
read -r port metrics_port http_port < <(
  python3 - <<'EOF' 2>/dev/null || echo "7450 7451 7452"
import socket
sockets = [socket.socket() for _ in range(3)]
for s in sockets:
    s.bind(("127.0.0.1", 0))
print(*(s.getsockname()[1] for s in sockets))
EOF
)
export PERFVEC_SERVER=127.0.0.1:$port

pids=()
stop() {
  [ ${#pids[@]} -eq 0 ] || kill "${pids[@]}" 2>/dev/null || true
  wait 2>/dev/null || true
}
trap stop EXIT

step "Starting the server and a worker (logs in build/quickstart)"
"$bin/server/perfvec-server" --data-dir "$data/server" \
  --listen "$PERFVEC_SERVER" --metrics-listen "127.0.0.1:$metrics_port" \
  --http-listen "127.0.0.1:$http_port" \
  --model deploy/models/default >"$data/server.log" 2>&1 &
pids+=($!)
"$bin/worker/perfvec-worker" run --server "$PERFVEC_SERVER" \
  --model-cache "$data/models" >"$data/worker.log" 2>&1 &
pids+=($!)
perfvec() { "$bin/client/perfvec" "$@"; }
perfvec server status --wait 60 || { cat "$data/server.log" >&2; exit 1; }

step "Importing a gem5 trace: deploy/samples/kdtree_nn"
perfvec import --trace deploy/samples/kdtree_nn/trace.txt.zst \
  --store deploy/samples/kdtree_nn/trace.sq.txt.zst -o "$data/kdtree_nn.pvt"
perfvec trace info "$data/kdtree_nn.pvt"

step "Uploading it and computing its program vector"
perfvec upload "$data/kdtree_nn.pvt" --program kdtree_nn --wait

step "Where does kdtree_nn run fastest?"
perfvec rank kdtree_nn --limit 15

if $keep; then
  trap - EXIT
  step "Left running: PERFVEC_SERVER=$PERFVEC_SERVER," \
    "web page on http://127.0.0.1:$http_port/," \
    "metrics on http://127.0.0.1:$metrics_port/metrics; stop with: kill ${pids[*]}"
fi
