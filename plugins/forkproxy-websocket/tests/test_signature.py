"""The signature against values that are not ours."""

from __future__ import annotations

import base64
import hashlib
import hmac
import shutil
import subprocess

import pytest
from forkproxy_websocket.signature import sign
from hypothesis import given
from hypothesis import strategies as st


def test_the_example_of_twilios_documentation() -> None:
    """For a POST, Twilio signs the URL with the sorted parameters behind it; both are just text to us."""
    url = "https://mycompany.com/myapp.php?foo=1&bar=2"
    parameters = {
        "CallSid": "CA1234567890ABCDE",
        "Digits": "1234",
        "From": "+14158675309",
        "To": "+18005551212",
        "Caller": "+14158675309",
    }
    text = url + "".join(name + parameters[name] for name in sorted(parameters))
    assert sign("12345", text) == "RSOYDt4T1cUTdK1PDd93/VVr8B8="


@pytest.mark.skipif(shutil.which("openssl") is None, reason="the openssl program is not installed")
def test_what_openssl_makes_of_it() -> None:
    command = ["openssl", "dgst", "-sha1", "-hmac", "a-token", "-binary"]
    url = "wss://consumer.example/media?token=ä"
    done = subprocess.run(command, input=url.encode(), capture_output=True, check=True, timeout=30)
    assert sign("a-token", url) == base64.b64encode(done.stdout).decode()


@given(st.text(), st.text())
def test_a_consumer_can_verify_it(token: str, url: str) -> None:
    expected = hmac.digest(token.encode(), url.encode(), hashlib.sha1)
    assert base64.b64decode(sign(token, url), validate=True) == expected
