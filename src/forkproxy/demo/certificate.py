"""A throw-away certificate, so that servers on this machine can take streams over wss as real ones do.

The ``openssl`` command makes it where there is one (nearly every Linux machine); otherwise the package
``trustme`` does, which ``pip install 'forkproxy[demo]'`` brings.
"""

from __future__ import annotations

import ipaddress
import shutil
import ssl
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from forkproxy.demo.failure import DemoError

HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Certificate:
    """Files in PEM: the certificate, which is its own authority's or signed by it, and its key."""

    authority: Path
    """What a client is to trust (``streams.ca_file``)."""
    chain: Path
    key: Path

    def server_context(self) -> ssl.SSLContext:
        """For a server that shows this certificate."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.chain, self.key)
        return context


def make(folder: Path, names: Sequence[str] = (HOST,)) -> Certificate:
    """Make a certificate for `names` (hosts and addresses), valid for a day at least, in `folder`.

    Raises:
        DemoError: neither the openssl command nor trustme is there, or openssl failed.
    """
    if openssl := shutil.which("openssl"):
        return _by_openssl(openssl, folder, names)
    try:
        import trustme
    except ImportError:
        raise DemoError(
            "streaming over wss needs a certificate: install the openssl command "
            "(apt-get install openssl) or the demo's extra (pip install 'forkproxy[demo]')"
        ) from None
    authority = trustme.CA()
    server = authority.issue_cert(*names)
    made = Certificate(folder / "authority.pem", folder / "certificate.pem", folder / "key.pem")
    authority.cert_pem.write_to_path(made.authority)
    server.private_key_pem.write_to_path(made.key)
    made.key.chmod(0o600)
    made.chain.unlink(missing_ok=True)
    for part in server.cert_chain_pems:
        part.write_to_path(made.chain, append=True)
    return made


def _by_openssl(openssl: str, folder: Path, names: Sequence[str]) -> Certificate:
    """A self-signed certificate: it is its own authority."""
    certificate, key, settings = folder / "certificate.pem", folder / "key.pem", folder / "openssl.cnf"
    alternatives = ",".join(f"{'IP' if _is_address(name) else 'DNS'}:{name}" for name in names)
    # A file of our own instead of -addext: the machine's openssl.cnf may add anything, or be missing.
    settings.write_text(
        "[req]\nprompt = no\ndistinguished_name = name\nx509_extensions = leaf\n"
        "[name]\nCN = forkproxy demo\n"
        f"[leaf]\nsubjectAltName = {alternatives}\nbasicConstraints = critical, CA:TRUE\n"
        "keyUsage = critical, digitalSignature, keyCertSign\nextendedKeyUsage = serverAuth\n"
        "subjectKeyIdentifier = hash\n"
    )
    command = [openssl, "req", "-x509", "-new", "-config", str(settings), "-days", "1", "-nodes", "-sha256"]
    command += ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-keyout", str(key), "-out", str(certificate)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    settings.unlink()
    if done.returncode != 0:
        raise DemoError(f"openssl could not make a certificate:\n{done.stderr.strip()}")
    key.chmod(0o600)
    return Certificate(certificate, certificate, key)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
