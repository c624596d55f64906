#!/usr/bin/env bash
# Fails when a C++ file is not as clang-format writes it, or a mark of unfinished
# work is left.
set -euo pipefail
cd "$(dirname "$0")/.."

files() { git ls-files '*.cc' '*.h' 2>/dev/null || find . -name '*.cc' -o -name '*.h'; }
mapfile -t sources < <(files)
clang-format --dry-run --Werror "${sources[@]}"
if grep -nE '\b(TODO|FIXME|XXX)\b' "${sources[@]}"; then
  echo "check_format.sh: unfinished work is marked above" >&2
  exit 1
fi
