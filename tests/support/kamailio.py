"""Debian's kamailio as a carrier: asks for digest, calls who has registered, finds numbers busy."""

from __future__ import annotations

import signal
from pathlib import Path

from tests.support.processes import Process, bound, free_ports, until

_CONFIG = """
debug=2
log_stderror=yes
fork=no
children=1
listen=udp:127.0.0.1:{port}
loadmodule "sl.so"
loadmodule "tm.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "maxfwd.so"
loadmodule "textops.so"
loadmodule "siputils.so"
loadmodule "usrloc.so"
loadmodule "registrar.so"
loadmodule "auth.so"
modparam("auth", "algorithm", "{algorithm}")
modparam("auth", "nonce_count", 1)
modparam("auth", "qop", "auth")
modparam("registrar", "min_expires", 60)
modparam("registrar", "default_expires", 60)

request_route {{
    if (!mf_process_maxfwd_header("10")) {{ sl_send_reply("483", "Too Many Hops"); exit; }}
    if (is_method("OPTIONS")) {{ sl_send_reply("200", "OK"); exit; }}
    if (is_method("REGISTER")) {{
        if (!pv_auth_check("carrier.test", "{password}", "0", "0")) {{
            auth_challenge("carrier.test", "1");
            exit;
        }}
        save("location");
        exit;
    }}
    if (has_totag()) {{
        if (!loose_route()) {{ if (is_method("ACK")) {{ exit; }} sl_send_reply("404", "Not Here"); exit; }}
        t_relay();
        exit;
    }}
    if (is_method("CANCEL")) {{ if (t_check_trans()) {{ t_relay(); }} exit; }}
    if ($rU =~ "^[+]") {{
        if (!pv_auth_check("carrier.test", "{password}", "0", "0")) {{
            auth_challenge("carrier.test", "1");
            exit;
        }}
        sl_send_reply("486", "Busy Here");
        exit;
    }}
    record_route();
    if (!lookup("location")) {{ sl_send_reply("404", "Not Found"); exit; }}
    t_relay();
}}
"""

_RELAY = """
debug=-1
log_stderror=yes
fork=no
children=1
listen=udp:127.0.0.1:{port}
loadmodule "sl.so"
loadmodule "tm.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "maxfwd.so"
loadmodule "textops.so"
loadmodule "siputils.so"

request_route {{
    if (!mf_process_maxfwd_header("10")) {{ sl_send_reply("483", "Too Many Hops"); exit; }}
    if (has_totag()) {{
        if (!loose_route()) {{ if (is_method("ACK")) {{ exit; }} sl_send_reply("404", "Not Here"); exit; }}
        t_relay();
        exit;
    }}
    if (is_method("CANCEL")) {{ if (t_check_trans()) {{ t_relay(); }} exit; }}
    record_route();
    $ru = "{target}";
    t_relay();
}}
"""


class Kamailio:
    """An async context manager around one running kamailio."""

    def __init__(
        self, folder: Path, *, password: str = "", algorithm: str = "SHA-256", relay_to: str = ""
    ) -> None:
        """
        Args:
            password: of everybody who registers or calls.
            relay_to: a SIP URI: it is a proxy in the way to there instead, record-routing, and asks nobody.
        """
        self.folder = folder
        (self.port,) = free_ports(1)
        if relay_to:
            self._text = _RELAY.format(port=self.port, target=relay_to)
        else:
            self._text = _CONFIG.format(port=self.port, password=password, algorithm=algorithm)

    async def __aenter__(self) -> Kamailio:
        self.folder.mkdir(parents=True)
        config = self.folder / "kamailio.cfg"
        config.write_text(self._text)
        run = self.folder / "run"
        run.mkdir()
        command = ["kamailio", "-DD", "-E", "-m", "32", "-M", "4", "-f", config, "-Y", run, "-w", run]
        self.process = Process("kamailio", command, self.folder)
        try:
            await until(lambda: bound(self.port, "udp"), timeout=10, what=self.process.describe)
        except BaseException:
            self.process.kill()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        self.process.signal(signal.SIGTERM)  # its children go with it, as they would not if it were killed
        try:
            await self.process.exited(10)
        finally:
            self.process.kill()
