#!/usr/bin/env bash
# Chance inputs, led by coverage: libFuzzer with the sanitizers over the native parsers and clocks
# (ext/media/fuzzed.pxd), Atheris over session descriptions. Begins with what tests/fuzz/stored holds.
#
#   tools/fuzz.sh [TARGET...]          rtp rtcp clock path sdp; default: all
#   FUZZ_SECONDS=60                    for each
#   FUZZ_STORE=1                       put what reaches new code into tests/fuzz/stored
#
# An input that breaks something is left in build/fuzz, and its name is printed.
set -euo pipefail
cd "$(dirname "$0")/.."
. tools/apt.sh

seconds=${FUZZ_SECONDS:-60}
native=(rtp rtcp clock path) # in the order of fuzzed.pxd
targets=("$@")
[ $# -gt 0 ] || targets=("${native[@]}" sdp)
python=.venv/bin/python
work=build/fuzz
stored=tests/fuzz/stored
mkdir -p "$work"

config() { "$python" -c "import sysconfig; print(sysconfig.get_config_var('$1') or '')"; }

prepare_native() {
    command -v clang >/dev/null || apt_install clang || exit 1
    if ! echo 'int LLVMFuzzerTestOneInput(void) { return 0; }' |
        clang -w -fsanitize=fuzzer,address -x c - -o "$work/probe" 2>/dev/null; then
        apt_install "libclang-rt-$(clang -dumpversion | cut -d. -f1)-dev" || exit 1
    fi
    .venv/bin/cython -3 -X boundscheck=False,wraparound=False,initializedcheck=False,cdivision=True \
        -I ext -o "$work/native.c" tests/fuzz/native.pyx
    libs=$(config LIBDIR)
    build=(clang -w -std=gnu11 -O1 -g -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined
        "-I$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')" "$work/native.c"
        "-L$libs" "-Wl,-rpath,$libs" "-lpython$(config LDVERSION)" -lm)
}

prepare_sdp() {
    PYTHONPATH=$work/site "$python" -c 'import atheris' 2>/dev/null ||
        "$python" -m pip --disable-pip-version-check -qq --no-input install --no-deps --target "$work/site" atheris
}

status=0
for target in "${targets[@]}"; do
    corpus=$work/corpus/$target
    mkdir -p "$corpus"
    "$python" -m tests.fuzz.stored unpack "$stored/$target.txt" "$corpus"
    number=-1
    for i in "${!native[@]}"; do [ "${native[$i]}" = "$target" ] && number=$i; done
    if [ "$number" -ge 0 ]; then
        [ -n "${build:-}" ] || prepare_native
        "${build[@]}" "-DFUZZ_TARGET=$number" -o "$work/$target"
        run=("$work/$target")
    elif [ "$target" = sdp ]; then
        prepare_sdp
        run=(env "PYTHONPATH=$work/site:." "$python" tests/fuzz/sdp.py)
    else
        echo "forkproxy: no such target: $target" >&2
        exit 2
    fi
    echo "fuzz $target: $seconds s"
    "${run[@]}" -max_total_time="$seconds" -timeout=10 -max_len=1600 -print_final_stats=1 -verbosity=0 \
        -artifact_prefix="$work/$target-" "$corpus" >"$work/$target.log" 2>&1 || {
        grep -vE '^INFO|^#|^"' "$work/$target.log" | tail -n 60 >&2
        echo "fuzz $target: FAILED" >&2
        status=1
        continue
    }
    sed -n 's/^stat::number_of_executed_units: */  inputs tried: /p' "$work/$target.log"
    if [ -n "${FUZZ_STORE:-}" ]; then
        # Atheris cannot merge: all that it has found may be chosen from.
        rm -rf "$corpus.small" && mkdir "$corpus.small"
        [ "$number" -lt 0 ] || "${run[@]}" -merge=1 "$corpus.small" "$corpus" >/dev/null 2>&1
        [ "$number" -ge 0 ] || cp -r "$corpus/." "$corpus.small"
        "$python" -m tests.fuzz.stored pack "$corpus.small" "$stored/$target.txt"
    fi
done
exit $status
