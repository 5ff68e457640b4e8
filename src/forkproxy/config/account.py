"""The account: from the configuration, otherwise made up at the first start and kept in a state file."""

from __future__ import annotations

import json
import logging
import os
import secrets
import tempfile
from pathlib import Path

from forkproxy import logs
from forkproxy.config.models import Config
from forkproxy.config.values import account_sid
from forkproxy.model import Account, new_sid

log = logging.getLogger(__name__)


def state_file() -> Path:
    """``$XDG_STATE_HOME/forkproxy/account.json``, or below ``~/.local/state``.

    Raises:
        RuntimeError: this user has no home folder.
    """
    folder = os.environ.get("XDG_STATE_HOME", "")
    # A relative path is to be ignored (XDG Base Directory Specification).
    base = Path(folder) if os.path.isabs(folder) else Path.home() / ".local" / "state"
    return base / "forkproxy" / "account.json"


def establish_account(config: Config, file: Path | None = None) -> Account:
    """The account that streams are signed with. Reads, and at the first start writes, the state file.

    Only what the configuration leaves open comes from the file. A file that cannot be read or written costs a
    warning, never the start; the account then changes with every start.
    """
    sid = config.account.sid
    token = config.account.auth_token.get_secret_value() if config.account.auth_token else None
    if sid and token:
        return Account(sid, token)
    try:
        file = file or state_file()
        try:
            kept = _read(file)
        except FileNotFoundError:
            kept = _keep(file, Account(new_sid("AC"), secrets.token_hex(16)))
            log.info("made up an account at the first start", extra={"file": str(file)})
    except (OSError, RuntimeError, ValueError) as error:
        kept = Account(new_sid("AC"), secrets.token_hex(16))
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        log.warning(
            "the account that streams are signed with holds for this run only; set account.sid and "
            "account.auth_token, or mend the state file",
            extra={"file": str(file or ""), "reason": reason},
        )
    logs.hide(kept.auth_token)
    return Account(sid or kept.sid, token or kept.auth_token)


def _read(file: Path) -> Account:
    """
    Raises:
        FileNotFoundError: it is not there.
        OSError: it cannot be read.
        ValueError: it does not hold an account.
    """
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        raise ValueError("it is not JSON") from None
    if not isinstance(data, dict) or not isinstance(data.get("auth_token"), str) or not data["auth_token"]:
        raise ValueError("it holds no account")
    return Account(account_sid(data.get("sid")), data["auth_token"])


def _keep(file: Path, account: Account) -> Account:
    """Write it for this user only, whole or not at all; the account of a process that was faster wins."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=".account-")  # mode 0600
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            json.dump({"sid": account.sid, "auth_token": account.auth_token}, stream, indent=2)
            stream.write("\n")
            stream.flush()
            os.fsync(stream.fileno())
        try:
            os.link(name, file)
        except FileExistsError:
            return _read(file)
    finally:
        os.unlink(name)
    return account
