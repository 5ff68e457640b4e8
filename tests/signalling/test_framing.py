"""Messages in a stream, however it is cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forkproxy.signalling.framing import HEADER_LIMIT, Broken, Framer, Message, Piece, Ping

HEAD = b"OPTIONS sip:a SIP/2.0\r\nVia: SIP/2.0/TCP b\r\n"


def message(body: bytes = b"", length: bytes | None = None, name: bytes = b"Content-Length") -> bytes:
    number = length if length is not None else b"%d" % len(body)
    return HEAD + name + b": " + number + b"\r\n\r\n" + body


def fed(*chunks: bytes) -> list[Piece]:
    framer = Framer()
    return [piece for chunk in chunks for piece in framer.feed(chunk)]


messages = st.binary(max_size=200).map(message)
pings = st.just(b"\r\n\r\n")


@given(st.lists(messages | pings, max_size=8), st.data())
def test_messages_come_out_whole_however_they_are_cut(parts: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=10)))
    chunks = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    found = [piece.data for piece in fed(*chunks) if isinstance(piece, Message)]
    assert found == [part for part in parts if part != b"\r\n\r\n"]


@given(st.lists(st.binary(max_size=300), max_size=8))
def test_anything_may_come(chunks: list[bytes]) -> None:
    broken = False
    for piece in fed(*chunks):
        assert not broken, "nothing comes out of a stream that is broken"
        broken = isinstance(piece, Broken)


def test_a_ping_wants_an_answer_and_a_pong_does_not() -> None:
    assert fed(b"\r\n\r\n") == [Ping()]
    assert fed(b"\r\n", b"\r\n") == [Ping()]
    assert fed(b"\r\n" + message()) == [Message(message())]
    assert fed(b"\r\n\r\n" + message()) == [Ping(), Message(message())]


@pytest.mark.parametrize("name", [b"Content-Length", b"content-length ", b"l", b"L\t"])
def test_the_length_has_several_names(name: bytes) -> None:
    assert fed(message(b"body", name=name)) == [Message(message(b"body", name=name))]


@pytest.mark.parametrize(
    ("data", "kind", "status"),
    [
        (HEAD + b"\r\n", "header", 400),
        (message(length=b"x"), "length", 400),
        (message(length=b"-1"), "length", 400),
        (message(length=b"1" * 13), "length", 400),
        (HEAD + b"Content-Length: 1\r\nl: 2\r\n\r\nxx", "length", 400),
        (message(length=b"70000"), "oversize", 513),
        (HEAD + b"X: " + b"y" * HEADER_LIMIT, "oversize", 513),
        (HEAD + b"X: " + b"y" * HEADER_LIMIT + b"\r\nContent-Length: 0\r\n\r\n", "oversize", 513),
        (b"\x16\x03\x01" + bytes(HEADER_LIMIT), "oversize", 513),
    ],
)
def test_streams_that_cannot_be_followed(data: bytes, kind: str, status: int) -> None:
    (piece,) = fed(data, message())
    assert isinstance(piece, Broken)
    assert (piece.kind, piece.status) == (kind, status)
    assert data.startswith(piece.head[:40])


def test_the_same_length_twice_is_one() -> None:
    text = HEAD + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nxx"
    assert fed(text) == [Message(text)]


def test_what_is_begun_is_known() -> None:
    framer = Framer()
    assert not framer.partial
    list(framer.feed(b"\r\n"))
    assert not framer.partial
    list(framer.feed(HEAD))
    assert framer.partial


def test_a_long_body_is_not_looked_through_again_and_again() -> None:
    framer = Framer()
    text = message(bytes(60000))
    found = [piece for i in range(0, len(text), 100) for piece in framer.feed(text[i : i + 100])]
    assert found == [Message(text)]
