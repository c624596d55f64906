#!/usr/bin/env bash
# Installs the Debian 12 packages that PerfVec Serve builds and runs with.
#
#   deploy/install_packages.sh build|test
#
# build: compiler and libraries. test: also what the tests use. Does nothing,
# and needs neither root nor network, where everything is there already.
set -euo pipefail

packages=(
  build-essential cmake ninja-build ccache pkg-config
  libgrpc++-dev libgrpc-dev protobuf-compiler protobuf-compiler-grpc
  libprotobuf-dev libabsl-dev
  librocksdb-dev prometheus-cpp-dev libboost-dev
  # The reference BLAS would make LibTorch ten times slower.
  libtorch-dev libgloo-dev libopenblas0-pthread libopenblas-pthread-dev
  libcli11-dev libspdlog-dev nlohmann-json3-dev libmuparser-dev
  libzstd-dev libxxhash-dev libssl-dev libzip-dev zlib1g-dev
  help2man
)
case "${1:-}" in
  build) ;;
  test)
    # libdnnl-dev: a rival in tests/bench; python3-torch: an oracle; chromium:
    # the web page is tested in it.
    packages+=(libgtest-dev libgmock-dev clang-format zstd python3
      libdnnl-dev python3-numpy python3-torch
      prometheus bash-completion man-db qemu-user chromium nginx
      slurmctld slurmd slurm-client lua-socket lua-cjson python3-grpcio
      golang-go golang-google-grpc-dev golang-google-protobuf-dev
      protoc-gen-go-1-5 protoc-gen-go-grpc
      openssl systemd lintian)
    ;;
  *)
    echo "usage: deploy/install_packages.sh build|test" >&2
    exit 2
    ;;
esac

missing=()
for package in "${packages[@]}"; do
  state=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true)
  [ "$state" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

if [ "$(id -u)" != 0 ]; then
  echo "install_packages.sh: missing: ${missing[*]}; run as root, or install" \
    "them with apt-get" >&2
  exit 1
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
