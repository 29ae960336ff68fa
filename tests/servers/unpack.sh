#!/usr/bin/env bash
# Unpacks programs of another Debian suite into DIR, beside whatever the machine runs, and writes DIR/NAME for each, run by its
# own loader and libraries, so that newer and older servers than the machine's release are real test peers. The mirror's address
# is read from the machine's own apt configuration. Touches nothing outside DIR.
#   unpack.sh SUITE DIR "PACKAGE ..." PROGRAM ...        PROGRAM is a path below usr/, such as bin/redis-server
set -euo pipefail
suite=$1 dir=$2 wanted=$3
shift 3
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/servers/apt.sh
. "$here/apt.sh"
rm -rf "$dir"
mkdir -p "$dir/debs" "$dir/root"
dir=$(cd "$dir" && pwd)
private_apt "$dir/apt" "deb" "$suite"

# Maintainer tools are never run here, so what only they need stays out.
# shellcheck disable=SC2086
packages=$(apt-cache "${apt[@]}" depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces \
  --no-enhances $wanted | grep -E '^[a-z0-9]' | sort -u | grep -vE '^(perl|debconf|cdebconf|libperl|systemd|dpkg|init|adduser|passwd)')
# shellcheck disable=SC2086
(cd "$dir/debs" && apt-get "${apt[@]}" download -qq $packages)
for deb in "$dir"/debs/*.deb; do dpkg -x "$deb" "$dir/root"; done
rm -rf "$dir/debs" "$dir/apt"

# Older suites keep the loader behind an absolute link that points outside DIR: only a regular file will do.
loader=$(find "$dir/root" -type f \( -name 'ld-linux*.so.*' -o -name 'ld-[0-9]*.so' \) | head -1)
[ -n "$loader" ] || { echo "unpack.sh: no loader among the packages of $suite" >&2; exit 1; }
libraries=$(find "$dir/root" -name 'lib*.so.*' -printf '%h\n' | sort -u | grep -E '/lib/[^/]+-linux-gnu[^/]*$' | paste -sd:)
for program in "$@"; do
  printf '#!/bin/sh\nexec %s --library-path %s %s "$@"\n' "$loader" "$libraries" "$dir/root/usr/$program" >"$dir/${program##*/}"
  chmod +x "$dir/${program##*/}"
done
