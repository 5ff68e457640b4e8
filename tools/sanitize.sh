#!/usr/bin/env bash
# Builds the extensions with a sanitizer, beside the normal build, and runs the tests that drive them. Fails when a
# test does, or when anything was reported in any process that a test has started.
#
#   tools/sanitize.sh address [PYTEST ARGUMENTS]    AddressSanitizer and UBSan, in build/asan
#   tools/sanitize.sh thread [PYTEST ARGUMENTS]     ThreadSanitizer, in build/tsan
set -euo pipefail
cd "$(dirname "$0")/.."

kind=${1:-address}
shift || true
case $kind in
address) place=build/asan runtime=libasan.so
    tests=(tests/media tests/signalling tests/fuzz/test_stored.py plugins/forkproxy-websocket/tests) ;;
thread) place=build/tsan runtime=libtsan.so
    tests=(tests/media plugins/forkproxy-websocket/tests/test_native.py) ;;
*) echo "forkproxy: address or thread, not $kind" >&2; exit 2 ;;
esac
[ $# -gt 0 ] && tests=("$@")

library=$(cc -print-file-name="$runtime")
if [ ! -e "$library" ]; then
    echo "forkproxy: $(cc --version | head -n 1) has no $runtime" >&2
    exit 1
fi

# The package as it is, beside extensions of its own.
rm -rf "$place/forkproxy" "$place/forkproxy_websocket" "$place"/report*
mkdir -p "$place"
FORKPROXY_SANITIZE=$kind .venv/bin/python setup.py -q build_ext --force --build-lib "$place" --build-temp "$place/objects"
(cd plugins/forkproxy-websocket &&
    FORKPROXY_SANITIZE=$kind ../../.venv/bin/python setup.py -q build_ext --force \
        --build-lib "../../$place" --build-temp "../../$place/objects")
(cd plugins/forkproxy-websocket/src &&
    find forkproxy_websocket -type f ! -name '*.so' ! -name '*.pyc' -print0 | tar -c --null -T -) | tar -x -C "$place"
(cd src && find forkproxy -type f ! -name '*.so' ! -name '*.pyc' -print0 | tar -c --null -T -) | tar -x -C "$place"

# PYTHONMALLOC: every object of Python's in an allocation of its own, so that a step beyond one is seen.
# libstdc++ is in the list since PJSIP's library, loaded later, throws exceptions that the sanitizer wants to see.
export PYTHONPATH=$PWD/$place PYTHONMALLOC=malloc
export LD_PRELOAD="$library $(cc -print-file-name=libstdc++.so.6)"
report=$PWD/$place/report
export ASAN_OPTIONS=log_path=$report:detect_stack_use_after_return=1
export LSAN_OPTIONS=suppressions=$PWD/tools/leaks.supp:print_suppressions=0
export UBSAN_OPTIONS=log_path=$report:print_stacktrace=1
export TSAN_OPTIONS=log_path=$report

.venv/bin/python - <<'END'
import forkproxy.media._relay as relay
import forkproxy_websocket._native as native
loaded = open("/proc/self/maps").read()
for module in (relay, native):
    assert "/build/" in module.__file__, f"{module.__file__} is not what is to be tested"
assert "libasan" in loaded or "libtsan" in loaded, "the sanitizer is not there"
END
status=0
.venv/bin/python -m pytest --quiet --no-header -p no:cacheprovider "${tests[@]}" || status=$?
reports=("$report"*)
if [ -e "${reports[0]}" ]; then
    unset LD_PRELOAD
    echo "forkproxy: the sanitizer has something to say:" >&2
    tail -n +1 "${reports[@]}" | head -n 400 >&2
    exit 1
fi
exit $status
