"""Throw-away certificates as files, as an operator has them."""

from __future__ import annotations

from pathlib import Path

import trustme


class Authority:
    """A private authority that writes certificates into a folder."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        self._ca = trustme.CA()
        self._folder = folder
        self.file = folder / f"{name}.pem"
        """The authority's own certificate."""
        self._ca.cert_pem.write_to_path(self.file)

    def issue(self, *names: str, file: str = "", common_name: str | None = None) -> Path:
        """A certificate for names and addresses, with its key, in one file."""
        path = self._folder / (file or f"{names[0].replace('*', '_').replace(':', '_')}.pem")
        issued = self._ca.issue_cert(*names, common_name=common_name)
        path.write_bytes(
            issued.private_key_pem.bytes() + b"".join(each.bytes() for each in issued.cert_chain_pems)
        )
        path.chmod(0o600)
        return path
