"""The connector: what it writes, and what becomes of a stream when the disk does not want to."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from forkproxy_wav import Wav, WavSettings, safe, wavefile
from forkproxy_wav.wavefile import WavFile, to_pcm
from hypothesis import given
from hypothesis import strategies as st

from forkproxy.connectors.registry import check
from forkproxy.connectors.testing import (
    CALL,
    SILENCE,
    FakeStream,
    frames,
    make,
    payload_of,
    run_connector,
    running,
)
from forkproxy.errors import InputError
from forkproxy.model import Track, Tracks
from tests.support.processes import until


@asynccontextmanager
async def recorder(folder: Path, **settings: object) -> AsyncIterator[Wav]:
    connector = make(Wav, folder=folder, **settings)
    try:
        yield connector
    finally:
        await connector.close()


def samples(path: Path) -> bytes:
    with wave.open(str(path), "rb") as file:
        return file.readframes(file.getnframes())


def files(folder: Path, pattern: str = "*") -> list[Path]:
    return sorted(folder.glob(pattern))


def spoken(track: Track, *numbers: int) -> bytes:
    return to_pcm(b"".join(payload_of(track, number) for number in numbers))


def test_forkproxy_accepts_it() -> None:
    assert check(Wav) is None


async def test_each_track_becomes_a_file(tmp_path: Path) -> None:
    async with recorder(tmp_path) as connector:
        run = await run_connector(connector, frames(60))
    assert run.error is None
    base = f"{CALL.sid}-{run.runner.sid}"
    assert sorted(os.listdir(tmp_path)) == [f"{base}-inbound.wav", f"{base}-outbound.wav"]
    for track in Track:
        assert samples(tmp_path / f"{base}-{track}.wav") == spoken(track, *range(60))


@pytest.mark.parametrize("tracks", [Tracks.INBOUND, Tracks.OUTBOUND])
async def test_one_track_is_one_file(tmp_path: Path, tracks: Tracks) -> None:
    async with recorder(tmp_path) as connector:
        await run_connector(connector, frames(3), tracks=tracks)
    (track,) = tracks.members
    (file,) = files(tmp_path)
    assert file.name.endswith(f"-{track}.wav")
    assert samples(file) == spoken(track, 0, 1, 2)


async def test_a_recording_can_be_listened_to_while_it_goes_on(tmp_path: Path) -> None:
    async with recorder(tmp_path, write_every=0.1) as connector, running(connector) as run:
        await run.created()
        run.feed(frames(7))
        (file,) = await until(
            lambda: [each for each in tmp_path.glob("*-inbound.wav.part") if samples(each)],
            timeout=10,
            what="audio in the file",
        )
        assert samples(file) == spoken(Track.INBOUND, *range(7))


async def test_dropped_frames_leave_the_tracks_in_step(tmp_path: Path) -> None:
    async with recorder(tmp_path) as connector:
        stream = FakeStream([*frames(2), *frames(1, start=4)])
        await connector.stream(stream)
    for track in Track:
        (file,) = files(tmp_path, f"*-{track}.wav")
        silence = to_pcm(SILENCE)
        assert samples(file) == spoken(track, 0, 1) + silence * 2 + spoken(track, 4)


async def test_a_stream_without_frames(tmp_path: Path) -> None:
    async with recorder(tmp_path) as connector:
        run = await run_connector(connector, [])
    assert run.error is None
    assert [samples(file) for file in files(tmp_path)] == [b"", b""]


async def test_two_streams_of_one_name(tmp_path: Path) -> None:
    async with recorder(tmp_path) as connector:
        first, second = await asyncio.gather(
            *(run_connector(connector, frames(1), name="greeting") for _ in range(2))
        )
    assert (first.error, second.error) == (None, None)
    assert len(files(tmp_path, "*-greeting-*.wav")) == 4


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "/etc/passwd", "..", "a\x00b", "a/b\\c", "ü" * 500, "."]
)
async def test_names_from_the_network_stay_in_the_folder(tmp_path: Path, name: str) -> None:
    async with recorder(tmp_path / "in") as connector:
        run = await run_connector(connector, frames(1), name=name)
    assert run.error is None
    assert os.listdir(tmp_path) == ["in"]
    assert len(os.listdir(tmp_path / "in")) == 2


@given(st.text())
def test_safe_names(text: str) -> None:
    name = safe(text)
    assert 0 < len(name) <= 64
    assert not set(name) - set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
    assert not name.startswith(".")


# Disks that do not want to.


async def test_a_folder_is_made(tmp_path: Path) -> None:
    async with recorder(tmp_path / "a" / "b"):
        assert (tmp_path / "a" / "b").is_dir()


async def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    with pytest.raises(FileExistsError):
        make(Wav, folder=tmp_path / "a")


async def test_a_folder_that_is_read_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write everywhere
    with pytest.raises(PermissionError, match=str(tmp_path)):
        make(Wav, folder=tmp_path)


async def test_the_folder_vanishes(tmp_path: Path) -> None:
    async with recorder(tmp_path / "a") as connector:
        (tmp_path / "a").rmdir()
        run = await run_connector(connector, frames(1))
    assert run.error is not None
    assert run.error.twilio_code == 31900
    assert "no such file or directory" in str(run.error)
    assert not run.is_created


async def test_the_disk_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: WavFile, number: int, payload: bytes) -> None:
        raise OSError(errno.ENOSPC, "x", str(self.part))

    monkeypatch.setattr(WavFile, "write", full)
    async with recorder(tmp_path, write_every=0.02) as connector, running(connector) as run:
        await run.created()
        run.feed(frames(1))
        await run.closed()
    assert "no space left on device" in str(run.error)
    assert len(files(tmp_path, "*.wav.part")) == 2, "what there is stays"


async def test_a_recording_beyond_the_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wavefile, "MAX_FRAMES", 2)
    async with recorder(tmp_path) as connector:
        run = await run_connector(connector, frames(3))
    assert "74 hours" in str(run.error)


async def test_a_disk_that_hangs_holds_up_only_its_own_stream(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hangs = threading.Event()
    wakes = threading.Event()
    real = WavFile.write

    def hang(self: WavFile, number: int, payload: bytes) -> None:
        hangs.set()
        assert wakes.wait(30)
        real(self, number, payload)

    monkeypatch.setattr(WavFile, "write", hang)
    async with recorder(tmp_path) as connector:
        async with running(connector, drain_timeout=0.05) as run:
            await run.created()
            run.feed(frames(50))
            await until(hangs.is_set, timeout=10, what="the first write")
            await asyncio.sleep(0)  # the loop is free while a thread waits for the disk
        assert run.error is None
        wakes.set()
    await until(
        lambda: all(samples(file) for file in tmp_path.glob("*.part")), timeout=10, what="the write's end"
    )
    assert len(files(tmp_path, "*.wav.part")) == 2


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, "#/folder: is missing but it is required"),
        ({"folder": 3}, "#/folder: integer found, string expected"),
        ({"folder": "x", "write_every": 0}, "#/write_every: must be 0.02 or more"),
        ({"folder": "x", "writeevery": 1}, "did you mean 'write_every'?"),
    ],
)
def test_mistakes_in_settings(settings: dict[str, object], words: str) -> None:
    with pytest.raises(InputError) as caught:
        make(Wav, **settings)
    assert words in str(caught.value)


def test_the_settings_are_documented() -> None:
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    for name in WavSettings.model_fields:
        assert f"`{name}`" in readme
