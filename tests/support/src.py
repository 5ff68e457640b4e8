"""A session recording client of the tests' own (RFC 7866): it says just what a test wants."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.support import audio
from tests.support.rtp import RtpParty
from tests.support.sip import Call, Message, Phone

NAMESPACE = "urn:ietf:params:xml:ns:recording:1"
SIPREC = ("Require: siprec", "Accept: application/sdp, application/rs-metadata+xml")
TYPE = "application/rs-metadata+xml"


def line(port: int, label: str | None = "1", direction: str | None = "sendonly", more: str = "") -> str:
    """One m= line of an offer."""
    lines = [f"m=audio {port} RTP/AVP 0 8", "a=rtpmap:0 PCMU/8000", "a=rtpmap:8 PCMA/8000"]
    lines += [f"a={direction}"] if direction else []
    lines += [f"a=label:{label}"] if label else []
    return "\r\n".join(lines) + "\r\n" + more


def offer(*lines: str, version: int = 1) -> bytes:
    """A session description with these m= lines."""
    head = ["v=0", f"o=src 1 {version} IN IP4 127.0.0.1", "s=-", "c=IN IP4 127.0.0.1", "t=0 0"]
    return ("\r\n".join(head) + "\r\n" + "".join(lines)).encode()


def snapshot(caller: str, callee: str, *, mode: str = "complete", more: str = "") -> str:
    """RFC 7865: two participants (name and address, ``Ann <sip:ann@example.com>``), a stream of each."""
    people = ""
    for letter, who in (("a", caller), ("b", callee)):
        name, _, aor = who.rstrip(">").rpartition(" <")
        people += (
            f'<participant participant_id="{letter}"><nameID aor="{aor}"><name>{name}</name></nameID>'
            f"</participant>"
        )
    streams = "".join(
        f'<stream stream_id="s{label}" session_id="c1"><label>{label}</label></stream>' for label in "12"
    )
    ways = (
        '<participantstreamassoc participant_id="a"><send>s1</send><recv>s2</recv></participantstreamassoc>'
        '<participantstreamassoc participant_id="b"><send>s2</send><recv>s1</recv></participantstreamassoc>'
    )
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><recording xmlns="{NAMESPACE}"><datamode>{mode}</datamode>'
        f'<session session_id="c1"><sipSessionID>ab30317f;remote=47755a9d</sipSessionID>{more}</session>'
        f"{people}{streams}{ways}</recording>"
    )


def body(
    sdp: bytes = b"", xml: str = "", *, kind: str = TYPE, boundary: str = "OSS-unique-boundary-42",
    first: str = "sdp",
) -> tuple[bytes, str]:  # fmt: skip
    """A body of both, or of what there is, and its content type."""
    there = [("application/sdp", sdp)] if sdp else []
    there += [(f"{kind}\r\nContent-Disposition: recording-session", xml.encode())] if xml else []
    if first == "xml":
        there.reverse()
    parts = b"".join(
        f"--{boundary}\r\nContent-Type: {name}\r\n\r\n".encode() + data + b"\r\n" for name, data in there
    )
    return parts + f"--{boundary}--\r\n".encode(), f"multipart/mixed;boundary={boundary}"


@dataclass
class Answered:
    """One m= line of the answer."""

    port: int
    attributes: list[str] = field(default_factory=list)

    @property
    def direction(self) -> str:
        ways = ("sendrecv", "sendonly", "recvonly", "inactive")
        return next((each for each in self.attributes if each in ways), "sendrecv")

    @property
    def label(self) -> str | None:
        found = (each.partition(":")[2] for each in self.attributes if each.startswith("label:"))
        return next(found, None)


def answered(sdp: bytes) -> list[Answered]:
    """The m= lines of an answer."""
    found: list[Answered] = []
    for text in sdp.decode().split("\r\n"):
        if match := re.match(r"m=\w+ (\d+) ", text):
            found.append(Answered(int(match[1])))
        elif text.startswith("a=") and found:
            found[-1].attributes.append(text[2:])
    return found


class Client:
    """Records one call at the proxy: two streams, or as many as the test opens."""

    def __init__(self, phone: Phone, proxy: tuple[str, int]) -> None:
        self.phone = phone
        self.proxy = proxy
        self.rtp: list[RtpParty] = []
        self.call: Call

    async def open(self, count: int = 2) -> list[RtpParty]:
        """Sockets for so many streams."""
        while len(self.rtp) < count:
            self.rtp.append(await self.phone._party())
        return self.rtp

    async def start(
        self, sdp: bytes, xml: str = "", *, headers: Sequence[str] = SIPREC, **dialect: str
    ) -> Message:
        """INVITE; its final response, acknowledged. Audio goes where the answer says."""
        content, kind = body(sdp, xml, **dialect) if xml else (sdp, "application/sdp")
        uri = f"sip:rec@{self.proxy[0]}:{self.proxy[1]}"
        self.call = await self.phone.call(uri, self.proxy, sdp=content, headers=headers, content_type=kind)
        final = await self.call.response(200)
        if final.status == 200:
            self.call.acknowledge(final)
            self.aim(final)
        return final

    async def change(self, method: str, sdp: bytes = b"", xml: str = "", **dialect: str) -> Message:
        """A request within the dialog; its final response."""
        content, kind = body(sdp, xml, **dialect) if xml else (sdp, "application/sdp")
        cseq = self.call.send_in_dialog(method, content, content_type=kind, headers=["Require: siprec"])
        final = await self.call.response_to(cseq, method)
        if method == "INVITE" and final.status == 200:
            self.call._request("ACK", cseq=cseq)
        if final.status == 200 and final.body:
            self.aim(final)
        return final

    def aim(self, final: Message) -> None:
        """Each stream goes to the port of its line."""
        for party, each in zip(self.rtp, answered(final.body), strict=False):
            party.remote = ("127.0.0.1", each.port) if each.port else None

    def talk(self, *hertz: float) -> None:
        """A tone on each stream."""
        for party, each in zip(self.rtp, hertz, strict=False):
            party.talk(audio.tone_ulaw(each, 1))

    async def hush(self) -> None:
        for party in self.rtp:
            await party.hush()
