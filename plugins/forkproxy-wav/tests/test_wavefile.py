"""Files that every player opens, at every moment."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import wave
from pathlib import Path

import pytest
from forkproxy_wav import wavefile
from forkproxy_wav.wavefile import MAX_FRAMES, WavFile, to_pcm
from hypothesis import given
from hypothesis import strategies as st

from forkproxy.connectors.testing import tone
from forkproxy.model import Tracks
from tests.support import audio

SILENCE = b"\xff" * 160


def read(path: Path) -> bytes:
    """The samples, by the standard library's reader."""
    with wave.open(str(path), "rb") as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 8000)
        samples = file.readframes(file.getnframes())
        assert len(samples) == file.getnframes() * 2
    return samples


@given(st.binary(max_size=500))
def test_pcm_is_what_another_decoder_makes_of_it(mulaw: bytes) -> None:
    assert to_pcm(mulaw) == audio.decode(mulaw).tobytes()


def test_the_extremes_of_g711() -> None:
    assert to_pcm(b"\xff\x7f\x80\x00") == b"".join(
        sample.to_bytes(2, "little", signed=True) for sample in (0, 0, 32124, -32124)
    )


def test_a_finished_file(tmp_path: Path) -> None:
    file = WavFile(tmp_path / "a.wav")
    made = tone(440, 50, Tracks.INBOUND)
    for frame in made:
        file.write(frame.number, frame.payload)
    file.finish()
    assert os.listdir(tmp_path) == ["a.wav"]
    assert read(tmp_path / "a.wav") == to_pcm(b"".join(frame.payload for frame in made))
    assert (tmp_path / "a.wav").stat().st_mode & 0o007 == 0, "not for everybody"


def test_it_can_be_played_while_it_grows_and_after_a_crash(tmp_path: Path) -> None:
    file = WavFile(tmp_path / "a.wav")
    assert read(tmp_path / "a.wav.part") == b""
    for number in range(3):
        file.write(number, bytes([number]) * 160)
        file.flush()
        assert read(tmp_path / "a.wav.part") == to_pcm(b"".join(bytes([n]) * 160 for n in range(number + 1)))
    file.close()
    assert os.listdir(tmp_path) == ["a.wav.part"]


def test_a_frame_that_was_lost_is_silence_and_takes_its_time(tmp_path: Path) -> None:
    file = WavFile(tmp_path / "a.wav")
    file.write(0, b"\x00" * 160)
    file.write(3, b"\x00" * 160)
    file.finish()
    assert read(tmp_path / "a.wav") == to_pcm(b"\x00" * 160 + SILENCE * 2 + b"\x00" * 160)


def test_a_hole_over_two_flushes(tmp_path: Path) -> None:
    file = WavFile(tmp_path / "a.wav")
    file.flush()
    file.write(2, b"\x00" * 160)
    file.flush()
    file.write(5, b"\x00" * 160)
    file.finish()
    assert len(read(tmp_path / "a.wav")) == 6 * 320


def test_an_existing_file_is_not_overwritten(tmp_path: Path) -> None:
    WavFile(tmp_path / "a.wav").close()
    with pytest.raises(FileExistsError):
        WavFile(tmp_path / "a.wav")


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        WavFile(tmp_path / "no" / "a.wav")


def test_a_header_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "x")

    monkeypatch.setattr(wavefile.os, "pwrite", full)
    with pytest.raises(OSError, match="x"):
        WavFile(tmp_path / "a.wav")


def test_the_longest_recording(tmp_path: Path) -> None:
    file = WavFile(tmp_path / "a.wav")
    file.write(MAX_FRAMES - 1, SILENCE)  # a sparse file: it takes no room
    with pytest.raises(ValueError, match="74 hours"):
        file.write(MAX_FRAMES, SILENCE)
    file.finish()
    with wave.open(str(tmp_path / "a.wav"), "rb") as made:
        assert made.getnframes() == MAX_FRAMES * 160


@pytest.mark.skipif(shutil.which("soxi") is None, reason="the program soxi is not installed")
def test_what_sox_says_of_it(tmp_path: Path) -> None:
    file = WavFile(tmp_path / "a.wav")
    file.write(49, SILENCE)
    file.finish()
    done = subprocess.run(["soxi", "-D", tmp_path / "a.wav"], capture_output=True, text=True, check=True)
    assert float(done.stdout) == 1.0
    assert done.stderr == ""
