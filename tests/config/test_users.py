"""Files of users."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from forkproxy.config.users import read_users

MD5 = hashlib.md5(b"alice:forkproxy:wonder").hexdigest()
SHA = hashlib.sha256(b"alice:forkproxy:wonder").hexdigest()


def test_what_htdigest_writes(tmp_path: Path) -> None:
    file = tmp_path / "users"
    file.write_text(f"# ours\n\nalice:forkproxy:{MD5}\nalice:forkproxy:{SHA.upper()}\nbob:a:b:{MD5}\n")
    assert read_users(file).users == {
        ("alice", "forkproxy"): {"MD5": MD5, "SHA-256": SHA},
        ("bob", "a:b"): {"MD5": MD5},
    }
    assert MD5 not in repr(read_users(file))


@pytest.mark.parametrize(
    "line", ["alice", "alice:x", f"alice:{MD5}", f":r:{MD5}", "alice:r:abc", f"a::{MD5}"]
)
def test_a_line_that_is_wrong_is_named(tmp_path: Path, line: str) -> None:
    file = tmp_path / "users"
    file.write_text(f"alice:forkproxy:{MD5}\n{line}\n")
    with pytest.raises(ValueError, match=r"users:2: must be name:realm:hash"):
        read_users(file)


def test_two_hashes_for_one(tmp_path: Path) -> None:
    file = tmp_path / "users"
    file.write_text(f"alice:r:{MD5}\nalice:r:{'0' * 32}\n")
    with pytest.raises(ValueError, match="another hash"):
        read_users(file)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="No such file"):
        read_users(tmp_path / "none")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match="UTF-8"):
        read_users(tmp_path / "binary")
