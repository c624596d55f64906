#!/usr/bin/env bash
# Installs what it needs, builds everything, and runs every test.
#
#   tests/run.sh [CTEST-ARGUMENT...]
#
# Ends with "N passed, N failed, N skipped". PERFVEC_DATA names a folder of
# simulated traces; tests that need it are skipped without it. So are those of
# dynamic AArch64 programs where Debian's packages cannot be fetched;
# PERFVEC_ARM64_SYSROOT names a folder that has them already.
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

if [ -z "${PERFVEC_ARM64_SYSROOT:-}" ]; then
  maker=tests/client/tracer/make_sysroot.sh
  sysroot=$PWD/build/arm64-sysroot
  if ! cmp -s "$maker" "$sysroot/.maker"; then  # none, or another's
    rm -rf "$sysroot"
    if "$maker" "$sysroot" >"$sysroot.log" 2>&1; then
      cp "$maker" "$sysroot/.maker"
    else
      echo "$maker failed ($sysroot.log), the tests of dynamic AArch64" \
        "programs are skipped: $(grep -m 1 '^[WE]: ' "$sysroot.log")" >&2
      rm -rf "$sysroot"
    fi
  fi
  [ ! -d "$sysroot" ] || export PERFVEC_ARM64_SYSROOT=$sysroot
fi

report=build/release/test_report.xml
status=0
# The whole output is kept, since the count is taken from it.
ctest --test-dir build/release --output-on-failure --timeout 600 \
  --test-output-size-passed 100000000 --test-output-size-failed 100000000 \
  --output-junit "$PWD/$report" "$@" || status=$?
python3 tests/count.py "$report"
exit "$status"
