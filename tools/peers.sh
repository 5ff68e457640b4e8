#!/usr/bin/env bash
# Installs the programs that the tests run against: real phones and a real load generator. None is needed to use
# forkproxy. Where one cannot be had, the tests that need it are skipped, and say its name.
set -euo pipefail
cd "$(dirname "$0")/.."
. tools/apt.sh

declare -A package=([sipp]=sip-tester [baresip]=baresip-core [sox]=sox [tshark]=tshark)
missing=()
for program in sipp baresip sox tshark; do
    command -v "$program" >/dev/null || missing+=("${package[$program]}")
done
[ -e /usr/include/openssl/ssl.h ] || missing+=(libssl-dev)
[ ${#missing[@]} -eq 0 ] && exit 0

# One by one: a package that this machine's archive does not have must not keep the others away.
apt_install "${missing[@]}" || { [ "$(id -u)" = 0 ] && for name in "${missing[@]}"; do apt_install "$name" || true; done; } || true
for program in sipp baresip sox tshark; do
    command -v "$program" >/dev/null || printf 'forkproxy: without %s (%s) the tests that need it are skipped\n' "$program" "${package[$program]}" >&2
done
exit 0
