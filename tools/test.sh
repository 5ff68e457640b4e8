#!/usr/bin/env bash
# The linters and then the tests. Both run whatever the first finds; the last lines say how it went.
set -uo pipefail
cd "$(dirname "$0")/.."

begin=$SECONDS
tools/lint.sh
lint=$?
echo tests
# One process more than there are processors: most tests wait for a phone or a timer most of the time.
.venv/bin/python -m pytest --quiet --no-header -n $(($(nproc) + 1)) --dist worksteal "$@"
tests=$?

verdict() { [ "$1" = 0 ] && echo passed || echo FAILED; }
printf '\nlint %s, tests %s, after %d s\n' "$(verdict $lint)" "$(verdict $tests)" $((SECONDS - begin))
[ $lint = 0 ] && [ $tests = 0 ]
