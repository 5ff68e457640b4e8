#!/usr/bin/env bash
# Makes .venv with forkproxy and its plugins, from the sources, in place. `make` calls it; it may be called alone.
#
#   tools/setup.sh demo    what `make demo` needs: a compiler and Python
#   tools/setup.sh dev     and what the tests and the linters need
#
# As root on Debian or Ubuntu it installs the packages that are missing; otherwise it says which command does.
set -euo pipefail
cd "$(dirname "$0")/.."

kind=${1:-dev}
venv=.venv
. tools/apt.sh

say() { printf 'forkproxy: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

versions() { "$1" -c 'import sys; raise SystemExit(not (3, 11) <= sys.version_info[:2] < (3, 13))' 2>/dev/null; }
has_venv() { "$1" -c 'import ensurepip, venv' 2>/dev/null; }
has_headers() { "$1" -c 'import os, sysconfig; raise SystemExit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))' 2>/dev/null; }

# The Python that was asked for, otherwise one that fits.
python=${PYTHON:-python3}
if [ "$python" = python3 ] && ! versions python3; then
    for other in python3.12 python3.11; do
        if versions "$other"; then
            python=$other
            break
        fi
    done
fi

# 1. The machine: Python with its headers, and a compiler.
missing=()
command -v "$python" >/dev/null || missing+=(python3)
command -v "$python" >/dev/null && { has_venv "$python" || missing+=(python3-venv); }
command -v "$python" >/dev/null && { has_headers "$python" || missing+=(python3-dev); }
command -v cc >/dev/null || missing+=(build-essential)
if [ ${#missing[@]} -gt 0 ]; then
    apt_install python3 python3-venv python3-dev build-essential || true
fi
command -v "$python" >/dev/null || die "there is no $python; install Python 3.11 or 3.12, or say which with PYTHON=..."
versions "$python" || die "$("$python" --version 2>&1) is not one that PJSIP's package exists for; 3.11 and 3.12 are (PYTHON=python3.11 make ...)"
has_venv "$python" || die "$python cannot make virtual environments; install python3-venv"
has_headers "$python" || die "$python has no headers to build with; install python3-dev"
command -v cc >/dev/null || die "there is no C compiler; install build-essential"

# 2. The environment. One whose Python has gone or has another version is made anew.
if ! versions "$venv/bin/python" || ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    say "making $venv with $("$python" --version)"
    rm -rf "$venv"
    "$python" -m venv "$venv"
fi
pip() { "$venv/bin/python" -m pip --disable-pip-version-check -qq --no-input "$@"; }

# 3. forkproxy. What builds it is installed first and used in place: an isolated build would fetch it a second time.
extra=demo
[ "$kind" = dev ] && extra=dev,demo
say "installing forkproxy[$extra] and its plugins into $venv (a minute or two the first time)"
pip install 'setuptools>=77' wheel 'Cython>=3.1,<4'
sources=(-e ".[$extra]")
for plugin in plugins/*/pyproject.toml; do
    [ -e "$plugin" ] && sources+=(-e "$(dirname "$plugin")")
done
pip install --no-build-isolation "${sources[@]}"
"$venv/bin/forkproxy" --version >/dev/null
date >"$venv/.$kind-done"
