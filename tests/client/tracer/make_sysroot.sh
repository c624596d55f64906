#!/bin/sh
# Unpacks gzip, bc and python3 of Debian's arm64 packages, with the libraries
# they need, below DIR: dynamic programs for the tests of `perfvec trace run`.
#
#   tests/client/tracer/make_sysroot.sh DIR
#   PERFVEC_ARM64_SYSROOT=DIR ctest -R trace_run
#
# Uses the machine's package sources with lists and caches of its own below
# DIR: the machine's packages and architectures stay as they are. Needs apt and
# dpkg, and the network; nothing but DIR is written.
set -eu
[ $# = 1 ] || { sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 2; }
mkdir -p "$1"
root=$(cd "$1" && pwd)
work=$root/.packages
mkdir -p "$work/lists/partial" "$work/cache/archives/partial"
: > "$work/status"
apt() {
  apt-get -q -o Debug::NoLocking=1 -o APT::Architecture=arm64 \
    -o APT::Architectures=arm64 -o Dir::State="$work" \
    -o Dir::State::lists="$work/lists" -o Dir::State::status="$work/status" \
    -o Dir::Cache="$work/cache" -o APT::Sandbox::User=root \
    -o Acquire::Languages=none -o Acquire::Retries=1 \
    -o Acquire::http::Timeout=20 -o Acquire::https::Timeout=20 "$@"
}
apt update
cd "$work"
apt download bc gzip libc6 libexpat1 libgcc-s1 libpython3.11-minimal \
  libreadline8 libtinfo6 python3.11-minimal zlib1g
for package in ./*.deb; do
  dpkg-deb -x "$package" "$root"
done
rm -rf "$work"
