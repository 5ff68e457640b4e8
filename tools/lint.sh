#!/usr/bin/env bash
# Every check that runs nothing, one line each; what a failing one says follows its line.
set -uo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/.venv/bin:$PATH"
failed=()

check() {
    local name=$1 output begin=$SECONDS
    shift
    if output=$("$@" 2>&1); then
        printf '  %-12s ok      %3d s\n' "$name" $((SECONDS - begin))
    else
        printf '  %-12s FAILED  %3d s\n%s\n' "$name" $((SECONDS - begin)) "$output"
        failed+=("$name")
    fi
}

echo lint
check ruff ruff check --quiet .
check format ruff format --quiet --check --diff .
check cython cython-lint ext plugins/forkproxy-websocket/ext
check layers lint-imports
check mypy mypy
# The stubs of the extensions against what was built.
mapfile -t stubs < <(find src plugins/*/src -name '_*.pyi' | sed 's|^.*src/||; s|/|.|g; s|\.pyi$||' | sort)
check stubs python -m mypy.stubtest --concise --ignore-disjoint-bases --ignore-unused-allowlist \
    --allowlist tools/stubtest-allow.txt "${stubs[@]}"

if [ ${#failed[@]} -gt 0 ]; then
    echo "lint: ${failed[*]} failed"
    exit 1
fi
