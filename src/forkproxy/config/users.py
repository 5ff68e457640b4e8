"""Files of users, as Apache's `htdigest` writes them: ``name:realm:hash`` in each line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

_ALGORITHMS = {32: "MD5", 64: "SHA-256"}


@dataclass(frozen=True, slots=True)
class UsersFile:
    """What such a file said when it was read."""

    path: Path
    users: Mapping[tuple[str, str], Mapping[str, str]] = field(repr=False)
    """By name and realm: the hexadecimal hash of ``name:realm:password`` by algorithm, MD5 or SHA-256."""

    def __str__(self) -> str:
        return str(self.path)


def read_users(path: Path) -> UsersFile:
    """Read a file of users; a name may have a line for each algorithm.

    Raises:
        ValueError: it cannot be read, or a line is wrong, and which.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ValueError(f"cannot read {path}: {reason}") from error
    return UsersFile(path, _users(path, lines))


def _users(path: Path, lines: Iterable[str]) -> dict[tuple[str, str], dict[str, str]]:
    users: dict[tuple[str, str], dict[str, str]] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, _, rest = line.partition(":")
        realm, _, value = rest.rpartition(":")
        value = value.strip().lower()
        if not name or not realm or not re.fullmatch(r"[0-9a-f]{32}|[0-9a-f]{64}", value):
            raise ValueError(f"{path}:{number}: must be name:realm:hash, with a hash of 32 or 64 hex digits")
        known = users.setdefault((name, realm), {})
        if known.setdefault(_ALGORITHMS[len(value)], value) != value:
            raise ValueError(f"{path}:{number}: {name} has another hash in a line before")
    return users
