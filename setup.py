"""Builds the extensions; everything else about the package is in pyproject.toml.

FORKPROXY_SANITIZE=address compiles them with AddressSanitizer and UBSan, =thread with ThreadSanitizer (see
tools/sanitize.sh), FORKPROXY_DEBUG=1 without optimisation.
"""

import os
import sys

from Cython.Build import cythonize
from setuptools import Extension, setup

FLAGS = ["-std=gnu11", "-O2", "-g0", "-Wall", "-Wextra", "-Wno-unused-parameter", "-Wno-unused-function"]
LINK: list[str] = []
if os.environ.get("FORKPROXY_DEBUG"):
    FLAGS = ["-std=gnu11", "-O0", "-g", "-Wall"]
SANITIZERS = {
    "address": ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"],
    "thread": ["-fsanitize=thread", "-Wno-tsan"],  # the warning is about fences; only the ring has one
}
if sanitize := os.environ.get("FORKPROXY_SANITIZE"):
    FLAGS += ["-g", "-O1", "-fno-omit-frame-pointer", *SANITIZERS[sanitize]]
    LINK += SANITIZERS[sanitize]

PJSIP = [
    *(f"ext/pjsip/{name}.h" for name in ("abi", "functions", "network")),
    *(f"ext/pjsip/{name}.pxd" for name in ("pjsip", "text", "guard")),
    *(f"src/forkproxy/signalling/_{name}.pxd" for name in ("transports", "pjsip", "sessions")),
]
EXTENSIONS = [
    *(
        Extension(
            f"forkproxy.signalling._{module}",
            [f"ext/pjsip/{source}.pyx"],
            include_dirs=["ext/pjsip"],
            depends=PJSIP,
            libraries=["dl"],
            extra_compile_args=FLAGS,
            extra_link_args=LINK,
        )
        for module, source in (
            ("transports", "transports"),
            ("pjsip", "engine"),
            ("sessions", "sessions"),
            ("calls", "calls"),
            ("requests", "requests"),
            ("dialogs", "dialogs"),
        )
    ),
    *(
        Extension(
            f"forkproxy.media._{module}",
            [f"ext/media/{module}.pyx"],
            include_dirs=["ext/media", "src/forkproxy/connectors"],
            depends=["src/forkproxy/connectors/sink.h"],
            libraries=["pthread"],
            extra_compile_args=FLAGS,
            extra_link_args=LINK,
        )
        for module in ("relay", "audio", "seams")
    ),
]

if __name__ == "__main__":
    if sys.platform != "linux":
        raise SystemExit("forkproxy builds on Linux only: PJSIP's wheel and the relay's epoll are Linux's")
    setup(
        ext_modules=cythonize(
            EXTENSIONS,
            include_path=["ext", "src"],
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
