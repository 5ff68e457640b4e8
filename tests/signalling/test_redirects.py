"""The Contacts of a 3xx."""

from __future__ import annotations

import doctest

from hypothesis import given
from hypothesis import strategies as st

from forkproxy.signalling import redirects
from forkproxy.signalling.midcall import Content
from forkproxy.signalling.redirects import MOST, contacts


def test_the_examples_in_the_docstrings() -> None:
    assert doctest.testmod(redirects).failed == 0


def test_headers_of_a_contact_are_left_out_and_there_is_an_end() -> None:
    headers = (("m", "<sip:b@x?Replaces=1>"), ("Contact", "sip:c@y;q=0.2"), ("To", "<sip:no@z>"))
    assert contacts(Content(headers, b"")) == ["sip:b@x", "sip:c@y"]
    many = ", ".join(f"<sip:u{number}@x>" for number in range(50))
    assert len(contacts(Content((("Contact", many),), b""))) == MOST


@given(st.text(max_size=300))
def test_nothing_makes_it_fail(value: str) -> None:
    assert all(uri.lower().startswith("sip:") for uri in contacts(Content((("Contact", value),), b"")))
