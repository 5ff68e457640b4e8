"""The configuration: one YAML or JSON file, checked as a whole before anything starts.

`load` returns a frozen `Config` with its flows, or raises `ConfigError` with every mistake in the file and
in the flow files that it names. `check` returns the same problems, and the warnings. `establish_account`
supplies the account that streams are signed with.
"""

from __future__ import annotations

from forkproxy.config.account import establish_account, state_file
from forkproxy.config.loader import check, instances, load
from forkproxy.config.models import (
    AccountConfig,
    ApiConfig,
    Config,
    LogConfig,
    MediaConfig,
    SipConfig,
    StreamsConfig,
    TrunkConfig,
)
from forkproxy.config.values import Network, Ports

__all__ = [
    "AccountConfig",
    "ApiConfig",
    "Config",
    "LogConfig",
    "MediaConfig",
    "Network",
    "Ports",
    "SipConfig",
    "StreamsConfig",
    "TrunkConfig",
    "check",
    "establish_account",
    "instances",
    "load",
    "state_file",
]
