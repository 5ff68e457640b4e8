"""Builds the extension; everything else about the package is in pyproject.toml.

FORKPROXY_SANITIZE=address compiles it with AddressSanitizer and UBSan, =thread with ThreadSanitizer.
"""

import os

from Cython.Build import cythonize
from setuptools import Extension, setup

FLAGS = ["-std=gnu11", "-O2", "-g0", "-Wall", "-Wextra", "-Wno-unused-parameter", "-Wno-unused-function"]
LINK: list[str] = []
SANITIZERS = {
    "address": ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"],
    "thread": ["-fsanitize=thread"],
}
if sanitize := os.environ.get("FORKPROXY_SANITIZE"):
    FLAGS += ["-g", "-O1", "-fno-omit-frame-pointer", *SANITIZERS[sanitize]]
    LINK += SANITIZERS[sanitize]

NATIVE = Extension(
    "forkproxy_websocket._native",
    ["ext/native/native.pyx"],
    include_dirs=["ext"],
    depends=["ext/sink.h"],
    libraries=["dl", "pthread"],
    extra_compile_args=FLAGS,
    extra_link_args=LINK,
)

if __name__ == "__main__":
    setup(
        ext_modules=cythonize(
            [NATIVE],
            include_path=["ext"],
            compiler_directives={
                "language_level": 3,
                "boundscheck": False,
                "wraparound": False,
                "initializedcheck": False,
                "cdivision": True,
                "embedsignature": True,
            },
        )
    )
