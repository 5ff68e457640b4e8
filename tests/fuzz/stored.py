"""Inputs that fuzzing has found interesting, as text: one of them a line, in hexadecimal.

python -m tests.fuzz.stored unpack FILE FOLDER    one file each, as libFuzzer wants them
python -m tests.fuzz.stored pack FOLDER FILE      the other way, the shortest first
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

FOLDER = Path(__file__).parent / "stored"
MOST, LONGEST = 120, 600
"""Inputs kept of one target, and octets in one."""


def load(target: str) -> list[bytes]:
    """The stored inputs of a target."""
    return [bytes.fromhex(line) for line in (FOLDER / f"{target}.txt").read_text().split("\n") if line]


def unpack(file: Path, folder: Path) -> None:
    for line in file.read_text().split() if file.exists() else []:
        data = bytes.fromhex(line)
        (folder / hashlib.sha1(data).hexdigest()).write_bytes(data)


def pack(folder: Path, file: Path) -> None:
    found = {path.read_bytes() for path in folder.iterdir()} | {
        bytes.fromhex(line) for line in (file.read_text().split() if file.exists() else [])
    }
    inputs = sorted((each for each in found if 0 < len(each) <= LONGEST), key=lambda each: (len(each), each))
    step = max(len(inputs) / MOST, 1.0)
    chosen = [inputs[int(n * step)] for n in range(min(len(inputs), MOST))]
    file.write_text("".join(each.hex() + "\n" for each in chosen))


if __name__ == "__main__":
    action, source, to = sys.argv[1:]
    {"unpack": unpack, "pack": pack}[action](Path(source), Path(to))
