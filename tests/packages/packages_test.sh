#!/usr/bin/env bash
# Makes the Debian packages, installs them, runs what they install, upgrades,
# removes and purges them.
#
#   packages_test.sh SOURCE_DIR BUILD_DIR
#
# Needs root: it works in a copy-on-write view of this machine's root directory
# in a mount namespace of its own, so that the machine is left as it was.
# Exits with 77, and says why, where that cannot be had. The programs must be
# built. There is no systemd to start the units: they are verified, and their
# ExecStart is run as their account.
set -euo pipefail
source=$1 build=$2

skip() {
  echo "packages_test.sh: skipped: $*" >&2
  exit 77
}
if [ -z "${PERFVEC_IN_NAMESPACE:-}" ]; then
  [ "$(id -u)" = 0 ] || skip "needs root"
  for tool in cpack dpkg-shlibdeps systemd-analyze systemd-sysusers help2man \
    unshare setpriv; do
    command -v "$tool" >/dev/null || skip "there is no $tool"
  done
  unshare --mount true 2>/dev/null || skip "no mount namespace can be had"
  PERFVEC_IN_NAMESPACE=1 exec unshare --mount --pid --fork --kill-child "$0" "$@"
fi

fail() {
  echo "packages_test.sh: $*" >&2
  tail -n 20 "$work"/*.log >&2 || true
  exit 1
}
work=$(mktemp -d)
mount -t tmpfs tmpfs "$work"
trap 'umount --recursive --lazy "$work"; rmdir "$work"' EXIT
mkdir "$work/upper" "$work/scratch" "$work/root"
mount -t overlay overlay "$work/root" \
  -o "lowerdir=/,upperdir=$work/upper,workdir=$work/scratch" 2>/dev/null ||
  skip "no overlay file system can be mounted"
root=$work/root
mount -t proc proc "$root/proc"
mount --bind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/tmp"
in_root() { chroot "$root" "$@"; }

# --- Made --------------------------------------------------------------------
pack() { # DIRECTORY [CPACK-ARGUMENT...]
  local to=$1
  shift
  (cd "$build" && cpack -G DEB -D CPACK_DEBIAN_COMPRESSION_TYPE=gzip "$@" \
    -B "$to") >"$work/cpack.log" 2>&1 || fail "cpack failed"
}
pack "$work/old"
pack "$work/new" -D CPACK_PACKAGE_VERSION=9.9.9 -D CPACK_COMPONENTS_ALL=server
[ "$(ls "$work"/old/*.deb | wc -l)" = 4 ] || fail "expected four packages"
for package in perfvec-server perfvec-worker perfvec-client; do
  dpkg-deb -f "$work/old/${package}"_*.deb Depends | grep -q 'libc6' ||
    fail "$package depends on no library"
done
dpkg-deb -f "$work"/old/perfvec-worker_*.deb Depends | grep -q libtorch ||
  fail "perfvec-worker does not depend on LibTorch"
if command -v lintian >/dev/null; then
  # What is known: docs/packages.md.
  lintian --no-cfg --allow-root --tag-display-limit 0 --fail-on error \
    --suppress-tags "$(tr '\n' , <"$source/deploy/packages/lintian-known")" \
    "$work"/old/*.deb || fail "lintian finds errors"
fi

# --- Installed ---------------------------------------------------------------
rm -f "$root/var/lib/man-db/auto-update" # indexing all pages takes long
mkdir "$root/tmp/debs"
cp "$work"/old/*.deb "$root/tmp/debs"
in_root sh -c 'dpkg --install /tmp/debs/*.deb' >"$work/install.log" 2>&1 ||
  fail "the packages cannot be installed"
in_root getent passwd perfvec | grep -q nologin || fail "no account perfvec"
[ "$(in_root stat -c '%U %a' /var/lib/perfvec)" = "perfvec 750" ] ||
  fail "/var/lib/perfvec is not the server's own"
for page in perfvec.1 perfvec-server.8 perfvec-worker.8; do
  in_root gzip -t "/usr/share/man/man${page##*.}/$page.gz" || fail "no $page"
done
in_root test -e /etc/systemd/system/multi-user.target.wants/perfvec-server.service ||
  fail "the unit is not enabled"
in_root test -e /usr/lib/cmake/perfvec/perfvecConfig.cmake ||
  fail "libperfvec-dev has no CMake package"
for unit in server:15 worker:20; do
  name=perfvec-${unit%:*}.service
  in_root systemd-analyze verify --man=no --recursive-errors=no "$name" ||
    fail "$name is wrong"
  # Tenths of "overall exposure level".
  in_root systemd-analyze security --offline=true --threshold="${unit#*:}" \
    --no-pager "$name" | tail -n 1 || fail "$name is more exposed than it was"
done

# --- Run ---------------------------------------------------------------------
# As the unit would: its ExecStart, its account, no capabilities.
exec_start() { sed -n 's/^ExecStart=//p' "$root/usr/lib/systemd/system/$1.service"; }
start_server() {
  : >"$work/server.log"
  # shellcheck disable=SC2046
  chroot "$root" setpriv --reuid=perfvec --regid=perfvec --init-groups \
    --inh-caps=-all --bounding-set=-all --no-new-privs \
    $(exec_start perfvec-server) >"$work/server.log" 2>&1 &
  server=$!
  for _ in $(seq 600); do
    address=$(sed -n 's/.*listening on \(.*\)$/\1/p' "$work/server.log")
    [ -z "$address" ] || break
    kill -0 "$server" 2>/dev/null || fail "the server ended"
    sleep 0.1
  done
  [ -n "$address" ] || fail "the server does not listen"
}
stop() {
  kill -TERM "$1"
  wait "$1" || fail "process $1 did not end well"
}
perfvec() { in_root perfvec --server "$address" "$@"; }
predicted() {
  perfvec predict sample "$architecture" --json | grep '"time_ns"'
}

in_root sed -i 's/^#\(.*listen = \)"127.0.0.1:[0-9]*"/\1"127.0.0.1:0"/' \
  /etc/perfvec/server.toml # any port: another server may run here
echo '# by the administrator' >>"$root/etc/perfvec/server.toml"
start_server
mkdir -m 777 "$root/tmp/cache"
sed -i "s/^server = .*/server = \"$address\"/" "$root/etc/perfvec/worker.toml"
chroot "$root" setpriv --reuid=nobody --regid=nogroup --clear-groups \
  --inh-caps=-all --bounding-set=-all --no-new-privs \
  env XDG_CACHE_HOME=/tmp/cache $(exec_start perfvec-worker) \
  >"$work/worker.log" 2>&1 &
worker=$!
cp "$source"/deploy/samples/kdtree_nn/trace*.zst "$root/tmp"
perfvec import --trace /tmp/trace.txt.zst --store /tmp/trace.sq.txt.zst \
  -o /tmp/sample.pvt >/dev/null
perfvec upload /tmp/sample.pvt --program sample --wait --timeout 200s \
  >"$work/upload.log" 2>&1 || fail "no program vector"
architecture=$(perfvec arch list --limit 1 --json |
  sed -n 's/.*"name":"\([^"]*\)".*/\1/p')
before=$(predicted)
stop "$worker"
stop "$server"

# --- Upgraded, with data and configuration kept -------------------------------
cp "$work"/new/*.deb "$root/tmp"
in_root sh -c 'dpkg --install /tmp/perfvec-server_9.9.9*.deb' \
  >"$work/upgrade.log" 2>&1 </dev/null || fail "the upgrade failed"
# shellcheck disable=SC2016
[ "$(in_root dpkg-query -W -f '${Version}' perfvec-server)" = 9.9.9 ] ||
  fail "the upgrade installed another version"
grep -q 'by the administrator' "$root/etc/perfvec/server.toml" ||
  fail "the upgrade overwrote the configuration"
start_server
[ "$(predicted)" = "$before" ] || fail "the upgrade changed a prediction"
stop "$server"

# --- A mistake in the configuration is told ------------------------------------
echo 'lisen = "127.0.0.1:1"' >>"$root/etc/perfvec/server.toml"
# shellcheck disable=SC2046
if in_root $(exec_start perfvec-server) >"$work/mistake.log" 2>&1; then
  fail "a key that is no option was taken"
fi
grep -q lisen "$work/mistake.log" || fail "the message does not name the key"

# --- Removed, purged -----------------------------------------------------------
packages="perfvec-server perfvec-worker perfvec-client libperfvec-dev"
# shellcheck disable=SC2086
in_root dpkg --remove $packages >"$work/remove.log" 2>&1 || fail "not removed"
[ ! -e "$root/usr/bin/perfvec-server" ] || fail "the program was left"
[ -d "$root/var/lib/perfvec/registry" ] || fail "removing lost the data"
[ -e "$root/etc/perfvec/server.toml" ] || fail "removing lost the configuration"
# shellcheck disable=SC2086
in_root dpkg --purge $packages >"$work/purge.log" 2>&1 || fail "not purged"
for path in /var/lib/perfvec /etc/perfvec/server.toml /usr/share/perfvec \
  /usr/lib/systemd/system/perfvec-server.service; do
  [ ! -e "$root$path" ] || fail "purging left $path"
done
echo "packages made, installed, run, upgraded, removed"
