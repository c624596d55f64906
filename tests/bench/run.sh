#!/usr/bin/env bash
# Runs the benchmark rows and prints one JSON line each.
#
#   tests/bench/run.sh [ROW...] [--json FILE]
#
# ROW is the start of a row's name (import, features, represent, train, predict,
# rank, upload, trace); none: all. Builds what it needs. Figures in
# docs/performance.md come from here; run it on an otherwise idle machine.
set -euo pipefail
cd "$(dirname "$0")/../.."

rows=() json=""
while [ $# -gt 0 ]; do
  case "$1" in
    --json)
      [ $# -ge 2 ] || { echo "run.sh: --json needs a file" >&2; exit 2; }
      json=$2
      shift
      ;;
    -h | --help)
      sed -n '2,9s/^# \{0,1\}//p' "$0"
      exit 0
      ;;
    -*)
      echo "run.sh: unknown option $1; see --help" >&2
      exit 2
      ;;
    *) rows+=("$1") ;;
  esac
  shift
done

deploy/install_packages.sh build >&2
cmake --preset release >&2
cmake --build --preset release --target benches >&2

[ -z "$json" ] || : >"$json"
known=(import features represent train predict rank upload trace)
[ ${#rows[@]} -gt 0 ] || rows=("${known[@]}")
for row in "${rows[@]}"; do
  program=build/release/tests/bench/${row}_bench
  if [ ! -x "$program" ]; then
    echo "run.sh: no row '$row'; there are: ${known[*]}" >&2
    exit 2
  fi
  if [ -n "$json" ]; then
    "$program" | tee -a "$json"
  else
    "$program"
  fi
done
