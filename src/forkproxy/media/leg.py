"""A leg: the place of one phone in the relay, with its taps, prompts and speaker."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, get_args

from forkproxy.errors import MediaError
from forkproxy.media._relay import RelayLeg, RelayPlayback, RelayTap
from forkproxy.media.codecs import AUDIO, CODECS, EVENTS, packet_ms
from forkproxy.media.copies import MediaCopy, open_copy
from forkproxy.media.dialling import DIGITS, key_numbers, tones
from forkproxy.media.figures import LegFigures, MaskReport, TapFigures
from forkproxy.media.speaker import BUFFER_SECONDS, Speaker, SpeakMode
from forkproxy.media.srtp import SrtpKeys, SrtpSessions, srtp_sessions
from forkproxy.model import FRAME_BYTES, Address, AudioFormat, Frame, Track

if TYPE_CHECKING:
    from forkproxy.media.engine import MediaEngine

_INACTIVE = 2
_NO_ROUTE = 255
_SENDS = {"sendrecv": True, "sendonly": True, "recvonly": False, "inactive": False}
_RECEIVES = {"sendrecv": True, "sendonly": False, "recvonly": True, "inactive": False}


class Playback:
    """Audio on its way to a leg."""

    def __init__(self, core: RelayPlayback) -> None:
        self._core = core

    def stop(self) -> None:
        """Send no more of it; forwarded audio returns. `on_done` is not called. Later calls do nothing."""
        self._core.stop()

    @property
    def playing(self) -> bool:
        """Whether there is anything left to send."""
        return self._core.playing


_DTMF = 1


@dataclass(frozen=True, slots=True)
class Digit:
    """A key that was pressed and let go of."""

    key: str = field(repr=False)  # may be part of a card's number: not for logs
    """One of `DIGITS`, or ``!``."""
    duration_ms: float


class Tap:
    """A listener to a leg's tracks."""

    def __init__(self, core: RelayTap) -> None:
        self._core = core

    def close(self) -> TapFigures:
        """Hand over every frame that is over by now, in one last call of `on_frames`; then no more.

        Frames that the reordering window still holds back are handed over as they stand. Later calls do
        nothing.
        """
        self._core.close()
        return self.figures()

    def figures(self) -> TapFigures:
        """What has been handed over so far."""
        return TapFigures.of(self._core.figures())

    def frame_at(self, ns: int) -> int:
        """The number of the frame whose 20 ms hold a moment of the monotonic clock; negative: before the tap.

        Raises:
            MediaError: the tap is closed.
        """
        try:
            return self._core.frame_at(ns)
        except ValueError as error:
            raise MediaError(str(error)) from None

    def attach(self, sink: object) -> bool:
        """Give what has not been handed over yet to native code, from a thread of its own, without Python.

        It goes on until `detach`, the tap's end, or a moment that the sink refuses; from there on frames are
        handed over as before. False: the tap is closed, or attached already.

        Args:
            sink: a capsule as `forkproxy/connectors/sink.h` describes it.

        Raises:
            ValueError: it is none, or one of another version.
        """
        return self._core.attach(sink)

    def detach(self) -> None:
        """End `attach`: the next frame that is handed over is the first one that the sink has not taken."""
        self._core.detach()

    @property
    def sent(self) -> int:
        """Frames that sinks have taken."""
        return self._core.figures()["sent"]  # type: ignore[no-any-return]

    @property
    def dropped(self) -> int:
        """Frames that were overwritten because the event loop stood still for over 2.5 seconds."""
        return self._core.dropped


class MediaLeg:
    """An RTP and an RTCP port, facing one phone. `MediaEngine.open_leg` makes it."""

    def __init__(self, engine: MediaEngine, core: RelayLeg, host: str, rtp_port: int, label: str) -> None:
        self.host = host
        """The address that the ports are bound on; may be 0.0.0.0."""
        self.rtp_port = rtp_port
        self.rtcp_port = rtp_port + 1
        self.label = label
        self.on_digit: Callable[[Digit], None] | None = None
        """Called on the event loop when the phone's user has let go of a key: by RFC 4733, and by tones in
        the audio where the engine listens for them."""
        self._engine = engine
        self._core = core
        core.on_event = self._on_event
        self._on_inactivity: Callable[[float | None], None] | None = None
        self._codecs: Mapping[int, str] = {}
        self._peer: MediaLeg | None = None
        self._payload_types: Mapping[int, int] = {}
        self._closed: LegFigures | None = None
        self._srtp: SrtpSessions | None = None

    def __repr__(self) -> str:
        return f"<MediaLeg {self.label or '?'} {Address(self.host, self.rtp_port)}>"

    def set_remote(
        self,
        rtp: Address,
        rtcp: Address,
        codecs: Mapping[int, str],
        *,
        direction: str = "sendrecv",
        ptime: int = 20,
        signalled_from: str | None = None,
        latch: bool = True,
        srtp: SrtpKeys | None = None,
    ) -> None:
        """Take over what the phone's SDP says.

        Packets are accepted from exactly `rtp`, and before any came from there, from another port of the same
        host (NAT changes ports; not with `latch` False). If `rtp` is a private address, the phone may sit
        behind NAT and its packets may come from `signalled_from`, the host that its SIP came from. Whoever is
        heard first is believed for good, unless it was another port and packets come from exactly `rtp` later
        on. What we send goes to where the packets come from. A later call with another address starts this
        afresh.

        Args:
            rtp, rtcp: address literals; 0.0.0.0 as host means that nothing is to be sent there.
            codecs: payload type to name: those of `forkproxy.media.codecs.CODECS`; the first one of audio is
                what prompts are sent in.
            direction: from the phone's view, as it stands in its SDP: ``sendonly`` and ``inactive`` mean that
            it
                gets nothing, ``recvonly`` and ``inactive`` that what it sends is not forwarded or tapped.
            ptime: milliseconds of audio in a packet of a prompt: 10 to 60 in steps of 10, others are taken as
            20.
            srtp: the keys of both sides; RTP and RTCP are then encrypted, and what comes in plain is dropped.
                None: all is plain. A direction whose key stays what it was in the last call goes on; a new
                key starts with rollover counter 0.

        Raises:
            MediaError: an address is no literal or of another family than we listen on, a codec or direction
            is
                unknown, SRTP is not to be had, or the leg is closed.
        """
        self._check_open()
        if direction not in _SENDS:
            raise MediaError(f"direction {direction!r}: not one of {', '.join(_SENDS)}")
        types = bytearray(128)
        for payload_type, name in codecs.items():
            if not 0 <= payload_type <= 127 or name not in CODECS:
                raise MediaError(
                    f"payload type {payload_type}: {name} is not carried, only {', '.join(CODECS)}"
                )
            types[payload_type] = CODECS[name]
        rtp_host, rtcp_host = self._host(rtp.host), self._host(rtcp.host)
        learn_from = [rtp_host] if latch else []
        if latch and signalled_from is not None and _is_private(rtp.host):
            learn_from.append(self._host(signalled_from))
        play_type, play_name = next(
            ((number, name) for number, name in codecs.items() if name in AUDIO), (0, "")
        )
        if srtp is not None or self._srtp is not None:
            self._set_srtp(srtp)
        self._codecs = dict(codecs)
        self._core.set_remote(
            rtp_host,
            rtp.port,
            rtcp_host,
            rtcp.port,
            b"".join(learn_from),
            _SENDS[direction],
            _RECEIVES[direction],
            bytes(types),
            play_type,
            types[play_type],
            packet_ms(play_name, ptime),
            *_events(codecs, play_name),
            self._listens(codecs),
        )
        self._route()

    def connect(
        self,
        other: MediaLeg,
        payload_types: Mapping[int, int] | None = None,
        back: Mapping[int, int] | None = None,
    ) -> None:
        """Forward what this leg's phone sends to `other`'s, and the other way round.

        A payload type becomes what `payload_types` (`back`: of the other direction) says, otherwise what the
        same codec is called there; where the other phone does not speak it, its audio is transcoded.
        May be called before or after `set_remote`, and again with other payload types. A connection to a
        third leg ends.

        Raises:
            MediaError: one of the legs is closed, or they are the same.
        """
        self._check_open()
        other._check_open()
        if other is self:
            raise MediaError("a leg cannot be connected to itself")
        if self._peer is not other:
            self.disconnect()
            other.disconnect()
            try:
                self._core.connect(other._core)
            except OSError as error:
                raise MediaError(f"media cannot connect two legs: {error}") from error
            self._peer, other._peer = other, self
        self._payload_types, other._payload_types = dict(payload_types or {}), dict(back or {})
        self._route()

    def silence(self) -> None:
        """Send nothing to the phone from now on: no audio, prompt, speech or report.

        Taps hear what would be sent as if it were. So two legs of a recording client, connected to each
        other, make one: what each sends is a track of either's taps.
        """
        self._check_open()
        self._core.silence()

    def disconnect(self) -> None:
        """Forward no more; both legs stay open, and taps go on."""
        if self._peer is not None:
            self._core.disconnect()
            self._peer._peer = None
            self._peer = None

    def play(self, audio: bytes, *, loops: int = 1, on_done: Callable[[], None] | None = None) -> Playback:
        """Send mu-law, 8,000 Hz, to the phone, in place of what the other leg sends and of what was being
        played.

        Args:
            loops: how often; 0 means until stopped.
            on_done: called on the event loop when the last sample's time is over; not called after
                `Playback.stop`, nor if other audio is played or the leg is closed before that.

        Raises:
            MediaError: there is no audio, no codec for it has been negotiated, or the leg is closed.
        """
        self._check_open()
        if not audio:
            raise MediaError("there is no audio to play")
        if loops < 0:
            raise MediaError(f"loops: {loops} is negative")
        if not any(name in AUDIO for name in self._codecs.values()):
            raise MediaError("nothing can be played before a codec has been negotiated")
        return Playback(RelayPlayback(self._core, bytes(audio), loops, on_done))

    def send_digits(self, digits: str, *, on_done: Callable[[], None] | None = None) -> Playback:
        """Press keys for the phone's far end, in place of what the other leg sends and of what was played.

        They are telephone events (RFC 4733, 100 ms each with 80 ms between them) where the phone has agreed
        on such, and tones in the audio where it has not.

        Args:
            digits: one of `DIGITS` for each key, ``w`` for a pause of half a second, ``W`` for one of a
                second; in a pause, what the other leg sends is heard.
            on_done: as of `play`.

        Raises:
            MediaError: there is no key, or one that does not exist, no codec has been negotiated, or the leg
                is closed.
        """
        self._check_open()
        keys = key_numbers(digits)
        if not any(name in AUDIO for name in self._codecs.values()):
            raise MediaError("no key can be sent before a codec has been negotiated")
        return Playback(RelayPlayback(self._core, tones(), 1, on_done, keys))

    def speak(
        self,
        *,
        mode: SpeakMode = "replace",
        limit_seconds: float = BUFFER_SECONDS,
        on_mark: Callable[[str, bool], None] | None = None,
    ) -> Speaker:
        """Open a way for audio to the phone, which is written piece by piece.

        A prompt (`play`) goes first: speech waits until it is over. It also waits until a codec has been
        negotiated. While the phone is on hold, its time goes on unheard.

        Args:
            mode: ``replace``: while there is speech, what the other leg sends is not forwarded; ``mix``: both
                are heard.
            limit_seconds: how much audio may wait.
            on_mark: see `Speaker.mark`; not called after `Speaker.close`, nor after the leg is closed.

        Raises:
            MediaError: somebody speaks to the leg already, an argument is out of its range, or the leg is
                closed.
        """
        self._check_open()
        if mode not in get_args(SpeakMode):
            raise MediaError(f"speech: {mode!r} is not one of {', '.join(get_args(SpeakMode))}")
        if not 0 < limit_seconds <= BUFFER_SECONDS:
            raise MediaError(f"speech: a buffer of {limit_seconds:g} seconds is not up to {BUFFER_SECONDS:g}")
        try:
            return Speaker(self._core, mode, limit_seconds, on_mark)
        except ValueError as error:
            raise MediaError(f"{self!r}: {error}") from error

    def tap(
        self,
        on_frames: Callable[[list[Frame]], None],
        tracks: tuple[Track, ...] = (Track.INBOUND, Track.OUTBOUND),
        format: AudioFormat = AudioFormat.MULAW,
    ) -> Tap:
        """Hand 20 ms frames of the leg's tracks to `on_frames`, on the event loop, in batches.

        The timeline starts now, with frame 0; every track has exactly 50 frames a second, whatever the
        network does. Frames with the same number stand together, inbound first.

        Linear formats keep what the leg's codec has above 4 kHz (G.722, L16), as far as their rate holds it;
        narrower audio is resampled.

        Raises:
            MediaError: no track is asked for, or the leg is closed.
        """
        self._check_open()
        if not tracks:
            raise MediaError("a tap needs a track")
        unit = format.frame_bytes // FRAME_BYTES
        return Tap(RelayTap(self._core, Track.INBOUND in tracks, Track.OUTBOUND in tracks, on_frames, unit))

    def mask(self) -> bool:
        """Replace both tracks by silence for every tap, from the frame that is now until `unmask`.

        A frame is masked if any moment of the mask lies in its 20 ms, no matter when it is handed over. What
        the phones hear stays as it is. False: the leg was masked already.

        Raises:
            MediaError: the leg is closed.
        """
        self._check_open()
        return self._core.mask()

    def unmask(self) -> MaskReport | None:
        """Mask no more after the frame that is now. What was masked; None: nothing was.

        Raises:
            MediaError: the leg is closed.
        """
        self._check_open()
        masked = self._core.unmask()
        return None if masked is None else MaskReport(*masked)

    def watch_inactivity(self, seconds: float, callback: Callable[[float | None], None]) -> None:
        """Call back, on the event loop, when the phone has sent no valid RTP packet for `seconds`.

        The callback gets the seconds that it has been silent for, and None when that is over. Time counts
        from this call on, also for a phone that has never sent anything, and from the end of a hold; while
        the direction keeps the phone from sending, its silence is none. A tenth of a second is as exact as it
        gets. A second call replaces the first.

        Raises:
            MediaError: `seconds` is not positive, or the leg is closed.
        """
        self._check_open()
        if seconds <= 0:
            raise MediaError(f"inactivity: {seconds} s is not positive")
        self._on_inactivity = callback
        self._core.watch(round(seconds * 1e9))

    def copy(self, track: Track | None, *, buffer_seconds: float = 0.0) -> MediaCopy:
        """Send a track on as RTP of our own, None: both mixed; see `open_copy`. It ends with the leg.

        Raises:
            PortsExhausted: no pair of ports is left.
            MediaError: the leg is closed, or the system refuses.
        """
        self._check_open()
        return open_copy(self._core, self._engine.ports, track, buffer_seconds, self._host)

    def figures(self) -> LegFigures:
        """What has been counted so far (after `close`: in all)."""
        if self._closed is not None:
            return self._closed
        raw = self._core.figures()
        source = raw["source"]
        return LegFigures.of(
            raw,
            source and Address(str(_plain(ipaddress.IPv6Address(source[0]))), source[1]),
            self._engine.window_ms,
        )

    def close(self) -> LegFigures:
        """Close taps (they get what is there), prompt, speaker and ports; later calls return the same."""
        if self._closed is None:
            self.disconnect()
            self._core.close()
            self._srtp = None
            figures = self.figures()
            self._closed = figures
            self._on_inactivity = self.on_digit = None
            self._engine.forget(self)
        return self._closed

    def _on_event(self, event: tuple[int, int, int, int]) -> None:
        kind, what, amount, scale = event
        if kind == _DTMF and self.on_digit is not None:
            self.on_digit(Digit(f"{DIGITS}!"[what], amount / 8 / scale))
        elif kind == _INACTIVE and self._on_inactivity is not None:
            self._on_inactivity(amount / 1e9 if what else None)

    def _listens(self, codecs: Mapping[int, str]) -> bool:
        """Whether keys are looked for in what a phone with these codecs says."""
        wanted = self._engine.dtmf_inband
        return wanted == "always" or (wanted == "fallback" and not EVENTS & set(codecs.values()))

    def _check_open(self) -> None:
        if self._closed is not None:
            raise MediaError(f"{self!r} is closed")

    def _set_srtp(self, keys: SrtpKeys | None) -> None:
        if keys is None:
            self._core.set_srtp(None, None)
            self._srtp = None
        else:
            sessions = srtp_sessions(self._core, keys, self._srtp)
            self._core.set_srtp(sessions.opens, sessions.seals)
            self._srtp = sessions

    def _route(self) -> None:
        """Tell the relay which payload types and codecs packets take on the other leg, in both directions."""
        if self._peer is not None:
            self._core.set_route(*_routes(self._codecs, self._peer._codecs, self._payload_types))
            self._peer._core.set_route(*_routes(self._peer._codecs, self._codecs, self._peer._payload_types))

    def _host(self, text: str) -> bytes:
        try:
            address = ipaddress.ip_address(text)
        except ValueError as error:
            raise MediaError(f"{text!r} is not an IP address") from error
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is None:
            if ":" not in self.host:
                raise MediaError(f"{text}: IPv6, but media listens on {self.host}")
            return address.packed
        packed = address.packed[-4:]
        return bytes(10) + b"\xff\xff" + packed


def _is_private(host: str) -> bool:
    return _plain(ipaddress.ip_address(host)).is_private


def _plain(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    return address.ipv4_mapped or address if isinstance(address, ipaddress.IPv6Address) else address


def _routes(
    ours: Mapping[int, str], theirs: Mapping[int, str], given: Mapping[int, int]
) -> tuple[bytes, bytes]:
    """For every payload type of a leg: the one on the other leg (255: none), and the codec there."""
    types, codecs = bytearray([_NO_ROUTE] * 128), bytearray(128)
    for number, name in ours.items():
        candidates = [given[number]] if number in given else []
        candidates += [number] * (theirs.get(number) == name)
        candidates += [other for other, what in theirs.items() if what == name]
        for kind in (AUDIO, EVENTS):
            candidates += [other for other, what in theirs.items() if name in kind and what in kind]
        if candidates and candidates[0] in theirs:
            types[number] = candidates[0]
            codecs[number] = CODECS[theirs[candidates[0]]]
    return bytes(types), bytes(codecs)


def _events(codecs: Mapping[int, str], audio: str) -> tuple[int, int]:
    """The payload type and the Codec of telephone events, best with the clock of `audio`; 255: none."""
    _, _, rate = audio.partition("/")
    there = [(number, name) for number, name in codecs.items() if name in EVENTS]
    wanted = f"TELEPHONE-EVENT/{rate}" if rate not in ("", "8000") else "TELEPHONE-EVENT"
    found = next((each for each in there if each[1] == wanted), there[0] if there else None)
    return (_NO_ROUTE, 0) if found is None else (found[0], CODECS[found[1]])
