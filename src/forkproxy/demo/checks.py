"""The checks of the demo: from a recording to sentences that are true or not.

Each check names what was measured, passed or not, so that a failure can be understood from the page alone.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections import Counter
from dataclasses import dataclass

from forkproxy.demo.recording import PhoneReport, Recording, Stream, frames
from forkproxy.demo.scene import STOP_WIDGET
from forkproxy.demo.voices import CALLEE, CALLER, Voice, level
from forkproxy.media.audio import decode_ulaw
from forkproxy.model import FRAME_BYTES, FRAME_MS, Track

AUDIBLE = -40.0
"""dB: a voice is there when its mark is at least this loud somewhere (as played, the marks reach -20)."""
APART = 15.0
"""dB: the other voice is absent when its mark stays this far below (as played: 45; mixed in: 0 to 8; the
clicks of a frame that was filled in: 20)."""
LATE = 0.02
"""The share of frames that may be filled in because this machine was too busy to send them in time."""
PACE_SLACK = 0.5
"""Seconds by which the number of frames may differ from the consumer's clock."""


@dataclass(frozen=True, slots=True)
class Check:
    """One sentence and whether it holds."""

    key: str
    title: str
    passed: bool
    evidence: str


_Finding = tuple[bool, str]


def run_checks(recording: Recording) -> list[Check]:
    """Every check, in the order of the story."""
    stream = Stream(recording.consumer)
    inbound, outbound = stream.audio(Track.INBOUND), stream.audio(Track.OUTBOUND)
    caller, callee = recording.phones()
    found: list[tuple[str, str, _Finding]] = [
        ("call", "The call was answered, and ended by hanging up", _call(recording)),
        ("signature", "The WebSocket handshake is signed", _signature(recording)),
        ("order", "connected, start, media, stop came in that order", _order(stream)),
        ("start", "The flow started the stream, before the call was answered", _start(recording, stream)),
        ("stop", "The flow stopped the stream, and the socket was closed", _stop(recording, stream)),
        ("sequence", "Sequence numbers have no hole", _sequence(stream)),
        ("frames", "No frame is missing on either track", _frames(stream)),
        ("pace", "50 frames a second came on each track", _pace(stream)),
        ("inbound-voice", "inbound carries the caller, unmixed", _voice(inbound, CALLER, CALLEE)),
        ("outbound-voice", "outbound carries the callee, unmixed", _voice(outbound, CALLEE, CALLER)),
        ("caller-heard", "The caller heard the callee, unmixed", _voice(caller.heard, CALLEE, CALLER)),
        ("callee-heard", "The callee heard the caller, unmixed", _voice(callee.heard, CALLER, CALLEE)),
        ("inbound-exact", "inbound is what the caller said, octet by octet", _exact(caller, inbound)),
        ("outbound-exact", "outbound is what the callee said, octet by octet", _exact(callee, outbound)),
        ("shutdown", "forkproxy stopped when it was told to", _shutdown(recording)),
    ]
    return [Check(key, title, passed, evidence) for key, title, (passed, evidence) in found]


def _call(recording: Recording) -> _Finding:
    faults = []
    for phone, last in ((recording.caller, "remote"), (recording.callee, "local")):
        ended = f"{phone.status} {phone.reason} ({phone.ended_by})"
        if phone.answered_at is None:
            faults.append(f"the {phone.name}'s call was never up: {ended if phone.status else 'no answer'}")
        elif phone.ended_at is None:
            faults.append(f"the {phone.name}'s call did not end")
        elif phone.status != 200 or phone.ended_by != last:
            faults.append(f"the {phone.name}'s call ended with {ended}, not with a BYE ({last})")
    if faults:
        return False, "; ".join(faults)
    lasted = (recording.caller.ended_at or 0) - (recording.caller.answered_at or 0)
    return True, f"up for {lasted:.1f} s; the callee hung up, then forkproxy hung up the caller"


def signature(url: str, auth_token: str) -> str:
    """What ``X-Twilio-Signature`` must be for a WebSocket's URL (twilio.com/docs/usage/security)."""
    digest = hmac.new(auth_token.encode(), url.encode(), hashlib.sha1).digest()
    return base64.b64encode(digest).decode()


def _signature(recording: Recording) -> _Finding:
    consumer = recording.consumer
    if consumer.connections != 1:
        return False, f"{consumer.connections} WebSocket connections came instead of one"
    got = next((value for name, value in consumer.headers if name.lower() == "x-twilio-signature"), None)
    if got is None:
        return False, "the handshake has no X-Twilio-Signature header"
    expected = signature(consumer.url, recording.auth_token)
    if got != expected:
        return False, f"X-Twilio-Signature is {got}; for {consumer.url} it must be {expected}"
    return True, f"X-Twilio-Signature {got} is the HMAC-SHA1 of {consumer.url} with the account's token"


def _order(stream: Stream) -> _Finding:
    events = [body["event"] for _, body in stream.events]
    media = stream.counts.get("media", 0)
    said = ", ".join(f"{count} {event}" for event, count in stream.counts.items()) or "no message came"
    wanted = ["connected", "start", *["media"] * media, "stop"]
    if stream.faults or events != wanted or not media:
        return False, "; ".join([said, *stream.faults[:3]])
    return True, said


def _start(recording: Recording, stream: Stream) -> _Finding:
    found = stream.first("start")
    if found is None:
        return False, "no start message came"
    message, body = found
    start = body["start"] if isinstance(body.get("start"), dict) else {}
    given = start["customParameters"] if isinstance(start.get("customParameters"), dict) else {}
    sid = body.get("streamSid")
    wanted: dict[str, object] = {
        "accountSid": recording.account_sid,
        "streamSid": sid,
        "tracks": ["inbound", "outbound"],
        "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
    }
    faults = [
        f"{key} is {start.get(key)!r}, not {value!r}"
        for key, value in wanted.items()
        if start.get(key) != value
    ]
    who = recording.caller.uri.removeprefix("sip:").partition("@")[0]
    if who not in str(given.get("caller", "")):
        faults.append(
            f"customParameters is {start.get('customParameters')!r}: the flow's parameter is not in it"
        )
    later = [other for _, other in stream.events if other["event"] != "connected"]
    strays = sum(other.get("streamSid") != sid for other in later)
    if strays:
        faults.append(f"{strays} messages carry another streamSid")
    answered = recording.callee.answered_at
    if answered is not None and message.at > answered:
        faults.append(f"it came {message.at - answered:.2f} s after the answer")
    if faults:
        return False, "; ".join(faults)
    lead = f"{answered - message.at:.2f} s before the answer, " if answered else ""
    return True, f"{lead}both tracks, parameter caller = {given['caller']}, {sid}"


def _stop(recording: Recording, stream: Stream) -> _Finding:
    found, consumer = stream.first("stop"), recording.consumer
    if found is None:
        return False, "no stop message came"
    if consumer.closed_at is None:
        return False, "the socket was not closed"
    if consumer.close_code != 1000:
        return False, f"the socket was closed with {consumer.close_code} {consumer.close_reason}".rstrip()
    hung_up = next((m.at for m in recording.callee.trace if m.sent and m.title == "BYE"), None)
    if hung_up is None:
        return False, "the callee sent no BYE, so the flow could not come to its stop widget"
    if found[0].at < hung_up:
        return False, f"stop came {hung_up - found[0].at:.2f} s before the callee hung up"
    after = f"stop came {(found[0].at - hung_up) * 1000:.0f} ms after the callee's BYE; close code 1000"
    if not any(f"ended after '{STOP_WIDGET}'" in line for line in recording.proxy.log):
        return False, f"{after}; but forkproxy's log does not say that the flow ended after '{STOP_WIDGET}'"
    return True, f"{after}; forkproxy's log says that the flow ended after '{STOP_WIDGET}'"


def _sequence(stream: Stream) -> _Finding:
    numbers = [body.get("sequenceNumber") for _, body in stream.events if body["event"] != "connected"]
    for expected, number in enumerate(numbers, 1):
        if number != str(expected):
            return False, f"sequenceNumber {number!r} stands where '{expected}' must"
    return bool(numbers), f"1 to {len(numbers)}, one by one" if numbers else "no message came"


def _frames(stream: Stream) -> _Finding:
    faults = []
    for track, media in stream.media.items():
        if not media:
            faults.append(f"{track} has no frames")
        for number, one in enumerate(media):
            wanted = media[0].timestamp + number * FRAME_MS
            if one.timestamp != wanted:
                faults.append(f"{track}: timestamp {one.timestamp} stands where {wanted} must")
                break
        odd = sum(len(one.payload) != FRAME_BYTES for one in media)
        if odd:
            faults.append(f"{track}: {odd} payloads are not {FRAME_BYTES} octets")
    counts = {track: len(media) for track, media in stream.media.items()}
    said = ", ".join(f"{count} on {track}" for track, count in counts.items())
    if not faults and len(set(counts.values())) != 1:
        faults.append("one track is longer than the other")
    evidence = "; ".join(faults) if faults else f"timestamps {FRAME_MS} ms apart from first to last"
    return not faults, f"{said}; {evidence}"


def _pace(stream: Stream) -> _Finding:
    began, stop = stream.began_at, stream.first("stop")
    if began is None or stop is None:
        return False, "the stream has no beginning or no end"
    lasted = stop[0].at - began
    counts = [len(media) for media in stream.media.values()]
    passed = all(abs(count * FRAME_MS / 1000 - lasted) <= PACE_SLACK for count in counts)
    return passed, f"{' and '.join(map(str, counts))} frames in {lasted:.2f} s by the consumer's clock"


def _voice(audio: bytes, speaker: Voice, other: Voice) -> _Finding:
    samples = decode_ulaw(audio)
    own, foreign = level(samples, speaker.mark), level(samples, other.mark)
    passed = own >= AUDIBLE and own - foreign >= APART
    heard = f"{speaker.mark:,} Hz ({speaker.name}) at {own:.0f} dB"
    return passed, f"{heard}, {other.mark:,} Hz ({other.name}) at {foreign:.0f} dB"


@dataclass(frozen=True, slots=True)
class Match:
    """How much of what was said is in a recording, octet by octet."""

    offset: int | None
    """Octets from the start of the recording to where the speech starts; None: nothing of it was found."""
    sounding: int
    """Frames of the speech that are not silent."""
    identical: int
    """How many of those are in the recording, at their place."""


def match(said: bytes, recorded: bytes) -> Match:
    """Find `said` in `recorded` and compare them frame by frame."""
    spoken = frames(said)
    sounding = [n for n, frame in enumerate(spoken) if len(set(frame)) > 2]
    needle = 10  # frames: 200 ms hold the edge of a syllable, so they are found at one place only
    votes: Counter[int] = Counter()
    for n in sounding[:: max(1, len(sounding) // 60)]:
        found = recorded.find(said[n * FRAME_BYTES : (n + needle) * FRAME_BYTES])
        if found >= 0:
            votes[found - n * FRAME_BYTES] += 1
    if not votes:
        return Match(None, len(sounding), 0)
    offset = votes.most_common(1)[0][0]
    same = sum(
        offset + n * FRAME_BYTES >= 0
        and recorded[offset + n * FRAME_BYTES : offset + (n + 1) * FRAME_BYTES] == spoken[n]
        for n in sounding
    )
    return Match(offset, len(sounding), same)


def _exact(phone: PhoneReport, audio: bytes) -> _Finding:
    found = match(phone.said, audio)
    evidence = f"{found.identical} of {found.sounding} frames with speech are identical"
    if found.identical < found.sounding:
        evidence += f"; up to {LATE:.0%} may be filled in when this machine is busy"
    return found.sounding > 0 and found.identical >= (1 - LATE) * found.sounding, evidence


def _shutdown(recording: Recording) -> _Finding:
    status = recording.proxy.exit_status
    if status is None:
        return False, "it had to be killed"
    return status == 0, f"SIGTERM, then exit status {status}"
