"""A call that is traced on demand: tshark decodes the file, and `forkproxy trace` draws it."""

from __future__ import annotations

import asyncio
import json
import subprocess
from pathlib import Path

from click.testing import CliRunner

from forkproxy.cli import main
from tests.support.flows import connect, flow, fork
from tests.support.processes import needs
from tests.support.proxy import Proxy
from tests.support.sip import Phone
from tests.support.talk import conversation


@needs("tshark")
async def test_tshark_and_the_ladder_show_both_legs_and_the_stream(tmp_path: Path) -> None:
    folder = tmp_path / "traces"
    async with (
        Phone("+15551230000") as alice,
        Phone("bob", "tcp") as bob,
        Proxy(
            tmp_path / "proxy",
            flow("start_stream", fork("wss://127.0.0.1:9/", "connect"), connect(bob.uri)),
            config={"trace": {"folder": str(folder)}, "log": {"level": "info"}},
        ) as proxy,
    ):
        assert (await proxy.post("/traces"))[0] == 409
        assert (await proxy.post("/traces?number=1&calls=x"))[0] == 400
        assert (await proxy.post("/calls/CA0/trace"))[0] == 404
        status, text = await proxy.post("/traces?number=%2B15551230000")
        assert status == 200, text
        assert json.loads((await proxy.get("/traces"))[1])["waiting"][0]["number"] == "+15551230000"
        for _ in range(2):  # the second is not asked for
            async with conversation(proxy, alice, bob) as talking:
                await talking.hush()
                await talking.alice.hang_up()
                await talking.bob.request("BYE")
            await proxy.idle()
            await asyncio.sleep(0.1)
        (file,) = folder.iterdir()
        assert json.loads((await proxy.get("/traces"))[1])["waiting"] == []
    command = ["tshark", "-r", str(file), "-T", "fields", "-E", "separator=|"]
    for name in ("sip.Method", "sip.Status-Code", "sdp.media", "syslog.msg"):
        command += ["-e", name]
    shown = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=True)
    rows = [line.split("|") for line in shown.stdout.splitlines()]
    assert [row[0] for row in rows].count("INVITE") == 2
    assert [row[0] for row in rows].count("BYE") == 2
    assert [row[1] for row in rows].count("200") == 4
    assert sum("audio" in row[2] for row in rows) == 4
    assert any("stream failed" in row[3] for row in rows)
    drawn = CliRunner().invoke(main, ["trace", str(file)])
    assert drawn.exit_code == 0
    assert drawn.output.count(" INVITE (SDP) ") == 2
    assert drawn.output.count(" 200 OK [BYE] ") == 2
    assert "streams" in drawn.output.splitlines()[0]
    full = CliRunner().invoke(main, ["trace", "--full", str(file)])
    assert "    CSeq: 1 INVITE" in full.output
    broken = CliRunner().invoke(main, ["trace", str(proxy.folder / "forkproxy.yaml")])
    assert broken.exit_code == 1
    assert "is no capture" in broken.output
    assert CliRunner().invoke(main, ["trace", str(tmp_path / "none")]).exit_code == 1
