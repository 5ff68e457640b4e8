"""Atheris over session descriptions, with the coverage of the parser as its guide; `make fuzz` runs it.

python tests/fuzz/sdp.py [libFuzzer's options] CORPUS
"""

import sys

import atheris

with atheris.instrument_imports(include=["forkproxy.signalling"]):
    from forkproxy.errors import SdpError
    from forkproxy.signalling import sdp


def one(data: bytes) -> None:
    """Whatever it is: a session, or an SdpError; and what we make of it can be read again."""
    try:
        session = sdp.parse(data)
    except SdpError:
        return
    names = [codec.key for codec in session.codecs]
    makers = (
        lambda: sdp.forward_offer(data, "192.0.2.1", 20000, 20001),
        lambda: sdp.make_answer(data, "2001:db8::1", 20000, 20001, names),
    )
    for make in makers:
        try:
            made = make()
        except SdpError:
            continue
        sdp.parse(made)


if __name__ == "__main__":
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()
