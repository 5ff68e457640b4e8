from __future__ import annotations

import io
import math
import struct
import wave

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forkproxy.errors import MediaError
from forkproxy.media.audio import decode_ulaw, encode_ulaw, load_wav, ringback, tone
from forkproxy.media.g711 import decode_alaw_sample, decode_ulaw_sample, encode_ulaw_sample


def wav(code: int, channels: int, rate: int, bits: int, body: bytes) -> bytes:
    block = channels * bits // 8
    form = struct.pack("<HHIIHH", code, channels, rate, rate * block, block, bits)
    chunks = b"fmt " + struct.pack("<I", len(form)) + form + b"LIST\x03\x00\x00\x00abc\x00"
    chunks += b"data" + struct.pack("<I", len(body)) + body
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


def amplitude(audio: bytes, frequency: float) -> float:
    samples = decode_ulaw(audio)[800:-800]
    step = 2 * math.pi * frequency / 8000
    parts = (sum(v * f(step * n) for n, v in enumerate(samples)) for f in (math.cos, math.sin))
    return math.hypot(*parts) * 2 / len(samples)


def sine(rate: int, frequency: float, seconds: float = 1.0, peak: float = 0.5) -> list[float]:
    return [peak * math.sin(2 * math.pi * frequency * n / rate) for n in range(round(rate * seconds))]


@pytest.mark.parametrize(
    ("sample", "code"), [(0, 0xFF), (-1, 0x7F), (32767, 0x80), (-32768, 0x00), (1000, 0xCE), (-1000, 0x4E)]
)
def test_mu_law_is_g711s(sample: int, code: int) -> None:
    assert encode_ulaw_sample(sample) == code


def test_a_law_is_g711s() -> None:
    assert [decode_alaw_sample(code) for code in (0xD5, 0x55, 0xAA, 0x2A)] == [8, -8, 32256, -32256]


def test_every_mu_law_code_survives() -> None:
    codes = bytes(code for code in range(256) if code != 0x7F)  # 0x7F is minus zero
    assert encode_ulaw(decode_ulaw(codes)) == codes
    assert decode_ulaw_sample(0x7F) == 0


@given(st.integers(-32768, 32767))
def test_mu_law_keeps_the_level(sample: int) -> None:
    # half a step, and 8 where the first two segments meet (124); true of all 65,536 samples
    assert abs(decode_ulaw_sample(encode_ulaw_sample(sample)) - sample) <= max(8, abs(sample) // 16)


FORMATS = {
    "pcm8": (1, 8, lambda x: bytes([round(x * 127) + 128])),
    "pcm16": (1, 16, lambda x: struct.pack("<h", round(x * 32767))),
    "pcm24": (1, 24, lambda x: round(x * 8388607).to_bytes(3, "little", signed=True)),
    "pcm32": (1, 32, lambda x: struct.pack("<i", round(x * 2147483647))),
    "float32": (3, 32, lambda x: struct.pack("<f", x)),
    "float64": (3, 64, lambda x: struct.pack("<d", x)),
    "mulaw": (7, 8, lambda x: bytes([encode_ulaw_sample(round(x * 32767))])),
}


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(("rate", "channels"), [(8000, 1), (16000, 2), (44100, 1), (48000, 2), (6000, 1)])
def test_a_tone_keeps_its_pitch_and_level(name: str, rate: int, channels: int) -> None:
    code, bits, pack = FORMATS[name]
    body = b"".join(pack(value) * channels for value in sine(rate, 440))
    audio = load_wav(wav(code, channels, rate, bits, body))
    assert abs(len(audio) - 8000) <= 1
    assert amplitude(audio, 440) == pytest.approx(16384, rel=0.05)
    assert amplitude(audio, 1000) < 300


def test_what_8_khz_cannot_carry_is_filtered_out() -> None:
    body = b"".join(struct.pack("<h", round(x * 32767)) for x in sine(48000, 7000))
    audio = load_wav(wav(1, 1, 48000, 16, body))
    assert amplitude(audio, 1000) < 100
    assert max(map(abs, decode_ulaw(audio)[800:-800])) < 800


def test_the_wave_modules_files_are_read() -> None:
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(8000)
        out.writeframes(struct.pack("<3h", 0, 1000, -1000))
    assert load_wav(file.getvalue()) == bytes([0xFF, 0xCE, 0x4E])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "does not begin with RIFF"),
        (b"ID3\x04 an mp3 file", "does not begin with RIFF"),
        (b"RIFF\x00\x00\x00\x00WAVE", "has no format"),
        (wav(1, 0, 8000, 16, b""), "0 channels"),
        (wav(85, 1, 8000, 16, b""), "encoding 85"),
        (wav(1, 1, 8000, 12, b""), "12 bits"),
        (wav(1, 1, 8000, 16, b""), "no audio"),
    ],
)
def test_what_cannot_be_played_says_why(data: bytes, message: str) -> None:
    with pytest.raises(MediaError, match=message):
        load_wav(data)


@given(st.binary(max_size=200))
def test_no_octets_do_more_than_fail(data: bytes) -> None:
    good = wav(1, 1, 8000, 16, b"\0" * 8)
    for each in (data, good[:12] + data, good[:36] + data):
        try:
            load_wav(each)
        except MediaError:
            continue


def test_tones() -> None:
    assert len(tone(440, seconds=0.5)) == 4000
    assert amplitude(tone(440, seconds=0.5), 440) == pytest.approx(8192, rel=0.03)
    assert len(ringback()) == 48000
    assert set(ringback()[16000:]) == {0xFF}
