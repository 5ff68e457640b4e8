"""libFuzzer's entry to ext/media/fuzzed.pxd; tools/fuzz.sh builds it. No interpreter is ever started."""

from libc.stdint cimport int32_t, uint8_t
from libc.stdio cimport fprintf, stderr
from libc.stdlib cimport abort

from media.fuzzed cimport fuzzed
from media.g711 cimport g711_fill_tables
from media.resample cimport resample_fill

cdef extern from *:
    int FUZZ_TARGET


cdef public int LLVMFuzzerInitialize(int *argc, char ***argv) noexcept nogil:
    g711_fill_tables()
    resample_fill()
    return 0


cdef public int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t size) noexcept nogil:
    cdef int broken = fuzzed(FUZZ_TARGET, octets, <int32_t>size)
    if broken:
        fprintf(stderr, "claim %d does not hold\n", broken)
        abort()
    return 0
