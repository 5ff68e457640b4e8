"""4. RTP: ports, the relay, the frame duplicator. Packets never meet Python.

`MediaEngine` opens a `MediaLeg` for each phone; legs are connected, tapped, played and spoken to. The relay
itself is written in Cython (ext/media): its threads need no interpreter. docs/media.md says what is done to
packets and frames.
"""

from forkproxy.media.codecs import CARRIED, TRANSCODABLE
from forkproxy.media.copies import CopyFigures, MediaCopy
from forkproxy.media.engine import MediaEngine
from forkproxy.media.figures import LegFigures, MaskReport, SpeakerFigures, TapFigures, TrackFigures
from forkproxy.media.leg import Digit, MediaLeg, Playback, Tap
from forkproxy.media.speaker import Speaker, SpeakMode
from forkproxy.media.srtp import SRTP_SUITES, SrtpKeys

__all__ = [
    "CARRIED",
    "SRTP_SUITES",
    "TRANSCODABLE",
    "CopyFigures",
    "Digit",
    "LegFigures",
    "MaskReport",
    "MediaCopy",
    "MediaEngine",
    "MediaLeg",
    "Playback",
    "SpeakMode",
    "Speaker",
    "SpeakerFigures",
    "SrtpKeys",
    "Tap",
    "TapFigures",
    "TrackFigures",
]
