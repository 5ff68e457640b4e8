"""WAV files by timestamps: in order or not, with holes, in stereo, and never larger than is sensible."""

from __future__ import annotations

import wave
from array import array
from pathlib import Path

from forkproxy.consumer.audio import LOUDEST, MOST_AHEAD, TrackFiles, WavFile, loudness
from forkproxy.media.audio import decode_ulaw, tone

LOUD, SOFT = b"\x80" * 160, b"\xf0" * 160


def samples(path: Path) -> tuple[int, array[int]]:
    with wave.open(str(path)) as file:
        assert (file.getframerate(), file.getsampwidth()) == (8000, 2)
        return file.getnchannels(), array("h", file.readframes(file.getnframes()))


def test_a_track_is_put_together_by_timestamps(tmp_path: Path) -> None:
    with TrackFiles(tmp_path, ["inbound"], stereo=False) as files:
        files.write("inbound", 60, SOFT)
        files.write("inbound", 0, LOUD)
    assert files.paths == [tmp_path / "inbound.wav"]
    channels, audio = samples(files.paths[0])
    assert channels == 1
    assert audio == decode_ulaw(LOUD) + array("h", bytes(640)) + decode_ulaw(SOFT)


def test_stereo_has_inbound_on_the_left(tmp_path: Path) -> None:
    with TrackFiles(tmp_path, ["outbound", "inbound"], stereo=True) as files:
        files.write("outbound", 0, SOFT)
        files.write("inbound", 0, LOUD)
        files.write("inbound", 20, LOUD)
    channels, audio = samples(tmp_path / "stereo.wav")
    assert channels == 2
    assert audio[0::2] == decode_ulaw(LOUD + LOUD)
    assert audio[1::2] == decode_ulaw(SOFT) + array("h", bytes(320))


def test_the_file_can_be_read_while_it_grows(tmp_path: Path) -> None:
    file = WavFile(tmp_path / "a.wav", 1)
    for number in range(60):
        assert file.write(0, number * 160, LOUD)
    assert len(samples(file.path)[1]) >= 8000
    file.close()
    assert len(samples(file.path)[1]) == 9600
    assert file.seconds == 1.2


def test_a_timestamp_far_ahead_fills_no_disk(tmp_path: Path) -> None:
    with TrackFiles(tmp_path, ["inbound"], stereo=False) as files:
        files.write("inbound", 10**15, LOUD)
        files.write("inbound", (MOST_AHEAD + 160) // 8, LOUD)
        files.write("outbound", 0, LOUD)
    assert files.lost == 2
    assert len(samples(tmp_path / "inbound.wav")[1]) == 0


def test_loudness_goes_from_silence_to_full() -> None:
    assert [loudness(b""), loudness(b"\xff\x7f"), loudness(b"\xff\x00"), loudness(b"\x80")] == [
        0,
        0,
        LOUDEST,
        LOUDEST,
    ]
    levels = [loudness(tone(500, seconds=0.02, level=level)) for level in (0.01, 0.1, 0.5)]
    assert levels == sorted(levels)
    assert levels[0] < levels[2]
