#!/usr/bin/env bash
# Installs what it needs, builds everything, and runs every test.
#
#   tests/run.sh [CTEST-ARGUMENT...]
#
# Ends with "N passed, N failed, N skipped". PERFVEC_DATA names a folder of
# simulated traces; tests that need it are
# skipped without it.
set -euo pipefail
cd "$(dirname "$0")/.."

deploy/install_packages.sh test
tests/check_format.sh

launcher=()
if command -v ccache >/dev/null; then
  launcher=(-DCMAKE_C_COMPILER_LAUNCHER=ccache
    -DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
fi
cmake --preset release -DPERFVEC_BUILD_TESTS=ON "${launcher[@]}"
cmake --build --preset release

report=build/release/test_report.xml
status=0
# The whole output is kept, since the count is taken from it.
ctest --test-dir build/release --output-on-failure --timeout 600 \
  --test-output-size-passed 100000000 --test-output-size-failed 100000000 \
  --output-junit "$PWD/$report" "$@" || status=$?
python3 tests/count.py "$report"
exit "$status"
