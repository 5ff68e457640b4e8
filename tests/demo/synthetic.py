"""A recording of a faultless run, made without a network: what the page and the checks are tested on."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

from forkproxy.demo.checks import signature
from forkproxy.demo.recording import ConsumerReport, Message, PhoneReport, ProxyReport, Recording, SipMessage
from forkproxy.demo.scene import flow_definition
from forkproxy.demo.voices import CALLEE, CALLER, speech

BEGAN = 1_700_000_000.0
CALLER_PORT, PROXY_PORT, CALLEE_PORT, WSS_PORT = 40112, 40734, 40226, 40558
ACCOUNT = "AC" + "0123456789abcdef" * 2
CALL = "CA" + "8899aabbccddeeff" * 2
STREAM = "MZ" + "7766554433221100" * 2
TOKEN = "00112233445566778899aabbccddeeff"
URL = f"wss://127.0.0.1:{WSS_PORT}/media"
ANSWERED = 0.72
"""Seconds from the caller's INVITE to the answer."""
TAPPED = 0.03
"""Seconds from the caller's INVITE to the first tapped frame."""


def recording(seconds: float = 6.0) -> Recording:
    """What a run of `seconds` writes down when everything works."""
    ended = ANSWERED + seconds + 0.3
    caller_said, callee_said = speech(CALLER, seconds), speech(CALLEE, seconds)
    flow = flow_definition(URL, f"sip:callee@127.0.0.1:{CALLEE_PORT}")
    headers = (
        ("Host", f"127.0.0.1:{WSS_PORT}"),
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("Sec-WebSocket-Version", "13"),
        ("User-Agent", "forkproxy/0.1.0"),
        ("X-Twilio-Signature", signature(URL, TOKEN)),
    )
    consumer = ConsumerReport(
        url=URL,
        connections=1,
        path="/media",
        headers=headers,
        peer="127.0.0.1:51514",
        opened_at=BEGAN + 0.02,
        messages=tuple(_messages(caller_said, callee_said, ended)),
        closed_at=BEGAN + ended + 0.012,
        close_code=1000,
    )
    return Recording(
        version="0.1.0",
        started_at=BEGAN,
        seconds=seconds,
        account_sid=ACCOUNT,
        auth_token=TOKEN,
        config="sip:\n  listen: [udp://127.0.0.1:0]\nflows:\n  default: flow.json\n",
        flow=flow,
        consumer=consumer,
        caller=PhoneReport(
            name="caller",
            uri=f"sip:caller@127.0.0.1:{CALLER_PORT}",
            answered_at=BEGAN + ANSWERED,
            ended_at=BEGAN + ended + 0.005,
            status=200,
            reason="OK",
            ended_by="remote",
            said=caller_said,
            said_at=BEGAN + ANSWERED,
            heard=b"\xff" * 320 + callee_said + b"\xff" * 1600,
            heard_at=BEGAN + ANSWERED - 0.03,
            trace=tuple(_caller_trace(ended)),
            figures={"packets_out": 300, "packets_in": 300, "lost": 0, "jitter_ms": 0.123},
        ),
        callee=PhoneReport(
            name="callee",
            uri=f"sip:callee@127.0.0.1:{CALLEE_PORT}",
            answered_at=BEGAN + ANSWERED + 0.01,
            ended_at=BEGAN + ended,
            status=200,
            reason="OK",
            ended_by="local",
            said=callee_said,
            said_at=BEGAN + ANSWERED + 0.01,
            heard=b"\xff" * 160 + caller_said + b"\xff" * 1600,
            heard_at=BEGAN + ANSWERED - 0.02,
            trace=tuple(_callee_trace(ended)),
        ),
        proxy=ProxyReport(
            ready=f"forkproxy ready sip=udp:127.0.0.1:{PROXY_PORT} api=127.0.0.1:40990",
            exit_status=0,
            log=("info call started", "info call ended after 6.9 s: the flow ended after 'stop_stream'"),
        ),
    )


def _messages(inbound: bytes, outbound: bytes, ended: float) -> list[Message]:
    lead = b"\xff" * (160 * round((ANSWERED - TAPPED) * 50))
    count = round((ended - TAPPED) * 50)
    tracks = {"inbound": lead + b"\xff" * 160 + inbound, "outbound": lead + b"\xff" * 320 + outbound}
    tracks = {name: audio.ljust(count * 160, b"\xff") for name, audio in tracks.items()}
    messages = [
        Message(
            at=BEGAN + 0.024, text=json.dumps({"event": "connected", "protocol": "Call", "version": "1.0.0"})
        )
    ]
    sequence = 0

    def add(at: float, event: str, **parts: Any) -> None:
        nonlocal sequence
        sequence += 1
        body = {"event": event, "sequenceNumber": str(sequence), **parts, "streamSid": STREAM}
        messages.append(Message(at=BEGAN + at, text=json.dumps(body, separators=(",", ":"))))

    start = {
        "accountSid": ACCOUNT,
        "streamSid": STREAM,
        "callSid": CALL,
        "tracks": ["inbound", "outbound"],
        "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
        "customParameters": {"caller": f"sip:caller@127.0.0.1:{CALLER_PORT}"},
    }
    add(0.025, "start", start=start)
    for number in range(count):
        for track, audio in tracks.items():
            payload = base64.b64encode(audio[number * 160 : number * 160 + 160]).decode()
            media = {
                "track": track,
                "chunk": str(number + 1),
                "timestamp": str(number * 20),
                "payload": payload,
            }
            add(TAPPED + 0.06 + number * 0.02, "media", media=media)
    add(ended + 0.01, "stop", stop={"accountSid": ACCOUNT, "callSid": CALL})
    return messages


def _sip(first: str, cseq: str, body: str = "") -> str:
    return (
        f"{first}\r\nVia: SIP/2.0/UDP 127.0.0.1:40112;rport;branch=z9hG4bKPj\r\nMax-Forwards: 70\r\n"
        f"From: <sip:caller@127.0.0.1>;tag=a1\r\nTo: <sip:+15551230000@127.0.0.1>\r\nCall-ID: 6d2f8e\r\n"
        f"CSeq: {cseq}\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    )


SDP = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 20400 RTP/AVP 0\r\n"


def _caller_trace(ended: float) -> list[SipMessage]:
    def sip(at: float, sent: bool, first: str, cseq: str, body: str = "") -> SipMessage:
        return SipMessage(at=BEGAN + at, sent=sent, text=_sip(first, cseq, body))

    uri = f"sip:+15551230000@127.0.0.1:{PROXY_PORT}"
    return [
        sip(0.0, True, f"INVITE {uri} SIP/2.0", "1 INVITE", SDP),
        sip(0.002, False, "SIP/2.0 100 Trying", "1 INVITE"),
        sip(0.049, False, "SIP/2.0 180 Ringing", "1 INVITE"),
        sip(ANSWERED - 0.002, False, "SIP/2.0 200 OK", "1 INVITE", SDP),
        sip(ANSWERED, True, f"ACK {uri} SIP/2.0", "1 ACK"),
        sip(ended + 0.005, False, "BYE sip:caller@127.0.0.1:40112 SIP/2.0", "1 BYE"),
        sip(ended + 0.006, True, "SIP/2.0 200 OK", "1 BYE"),
    ]


def _callee_trace(ended: float) -> list[SipMessage]:
    def sip(at: float, sent: bool, first: str, cseq: str, body: str = "") -> SipMessage:
        return SipMessage(at=BEGAN + at, sent=sent, text=_sip(first, cseq, body))

    uri = f"sip:callee@127.0.0.1:{CALLEE_PORT}"
    return [
        sip(0.044, False, f"INVITE {uri} SIP/2.0", "1 INVITE", SDP),
        sip(0.045, True, "SIP/2.0 100 Trying", "1 INVITE"),
        sip(0.047, True, "SIP/2.0 180 Ringing", "1 INVITE"),
        sip(ANSWERED - 0.006, True, "SIP/2.0 200 OK", "1 INVITE", SDP),
        sip(ANSWERED + 0.008, False, f"ACK {uri} SIP/2.0", "1 ACK"),
        sip(ended, True, "BYE sip:127.0.0.1:40734 SIP/2.0", "2 BYE"),
        sip(ended + 0.002, False, "SIP/2.0 200 OK", "2 BYE"),
    ]


def change_messages(
    made: Recording, change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]
) -> Recording:
    """The recording with other stream messages; those that are added get the time of the one before."""
    bodies = [json.loads(message.text) for message in made.consumer.messages]
    times = {id(body): message.at for body, message in zip(bodies, made.consumer.messages, strict=True)}
    messages, at = [], BEGAN
    for body in change(list(bodies)):
        at = times.get(id(body), at)
        messages.append(Message(at=at, text=json.dumps(body)))
    consumer = made.consumer.model_copy(update={"messages": tuple(messages)})
    return made.model_copy(update={"consumer": consumer})
