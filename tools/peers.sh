#!/usr/bin/env bash
# Installs the programs that the tests run against: real phones and a real load generator. None is needed to use
# forkproxy. Where one cannot be had, the tests that need it are skipped, and say its name.
#
#   tools/peers.sh          what the tests need
#   tools/peers.sh bench    and what the benchmarks measure against
set -euo pipefail
cd "$(dirname "$0")/.."
. tools/apt.sh

declare -A package=([sipp]=sip-tester [baresip]=baresip-core [sox]=sox [tshark]=tshark [kamailio]=kamailio [svmap]=sipvicious)
missing=()
programs=(sipp baresip sox tshark kamailio svmap)
if [ "${1:-}" = bench ]; then
    package[rtpengine]=rtpengine-daemon
    programs+=(rtpengine)
fi
for program in "${programs[@]}"; do
    command -v "$program" >/dev/null || missing+=("${package[$program]}")
done
[ -e /usr/share/nodejs/ws ] || missing+=(node-ws) # and Node itself
[ -e /usr/include/openssl/ssl.h ] || missing+=(libssl-dev)
[ ${#missing[@]} -eq 0 ] && exit 0

# A daemon that comes with a package is for us to start, not for the machine.
policy=/usr/sbin/policy-rc.d
if [ "$(id -u)" = 0 ] && [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
    trap 'rm -f "$policy"' EXIT
fi

# One by one: a package that this machine's archive does not have must not keep the others away.
apt_install "${missing[@]}" || { [ "$(id -u)" = 0 ] && for name in "${missing[@]}"; do apt_install "$name" || true; done; } || true
for program in "${programs[@]}"; do
    command -v "$program" >/dev/null || printf 'forkproxy: without %s (%s) what needs it is skipped\n' "$program" "${package[$program]}" >&2
done
exit 0
