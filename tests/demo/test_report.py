"""The page is well-formed, loads nothing from anywhere, and shows what the recording holds."""

from __future__ import annotations

import base64
import io
import re
import wave
from html.parser import HTMLParser

import pytest

from forkproxy.demo.checks import run_checks
from forkproxy.demo.ladder import rungs
from forkproxy.demo.recording import ConsumerReport, Recording
from forkproxy.demo.report import render, verdict
from forkproxy.media.audio import decode_ulaw
from tests.demo.synthetic import change_messages, recording

VOID = {"meta", "input", "br", "hr", "img", "link"}
LOADS = {"src", "href", "srcset", "poster", "data", "action", "background", "xlink:href"}


class Page(HTMLParser):
    """Checks nesting and collects what could be loaded, ids and the text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loaded: list[str] = []
        self.ids: list[str] = []
        self.references: list[str] = []
        self.text = ""
        self.feed(page)
        self.close()
        assert self.open == [], f"never closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"an attribute twice: {tag} {names}"
        for name, value in attrs:
            if name in LOADS:
                self.loaded.append(value or "")
            if name == "id":
                self.ids.append(value or "")
            if name in ("aria-labelledby", "for"):
                self.references.append(value or "")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        self.text += data


GOOD = recording(3.0)
HTML = render(GOOD, run_checks(GOOD))
PAGE = Page(HTML)


def test_the_page_is_well_formed() -> None:
    assert HTML.startswith("<!DOCTYPE html>\n<html lang=")
    assert len(PAGE.ids) == len(set(PAGE.ids))
    assert set(PAGE.references) <= set(PAGE.ids)


def test_the_page_loads_nothing() -> None:
    assert PAGE.loaded, "the audio must be in it"
    assert all(address.startswith("data:audio/wav;base64,") for address in PAGE.loaded)
    assert not re.search(r"url\(|@import|<link|fetch\(|XMLHttpRequest|import\(", HTML)


def test_the_four_recordings_can_be_played() -> None:
    heard = [GOOD.caller.heard, GOOD.callee.heard]
    assert len(PAGE.loaded) == 4
    for address, audio in zip(PAGE.loaded[2:], heard, strict=True):
        with wave.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))) as file:
            assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (8000, 1, 2)
            samples = memoryview(file.readframes(file.getnframes())).cast("h").tolist()
        assert samples == decode_ulaw(audio).tolist()


def test_the_page_shows_messages_literally_and_counts_them() -> None:
    texts = [message.text for message in GOOD.consumer.messages]
    for literal in (texts[0], texts[1], texts[2], texts[3], texts[-1]):
        assert literal in PAGE.text
    assert GOOD.consumer.handshake() in PAGE.text
    assert f"{len(texts) - 3:,}" in PAGE.text
    assert verdict(run_checks(GOOD)) in PAGE.text


def test_every_sip_message_is_in_the_ladder() -> None:
    ladder = [rung for rung in rungs(GOOD) if rung.kind == "sip"]
    assert len(ladder) == sum(len(phone.trace) for phone in GOOD.phones())
    assert [rung.label for rung in ladder][:3] == ["INVITE", "100 Trying", "INVITE"]
    assert "200 OK (BYE)" in [rung.label for rung in ladder]
    speech = next(rung for rung in rungs(GOOD) if rung.kind == "rtp")
    assert "caller: 300 packets sent, 300 received, 0 lost, 0.12 ms of jitter" in speech.literal
    assert "callee: no packets" in speech.literal
    assert HTML.count('<details class="rung">') == len(rungs(GOOD))


def test_hostile_text_stays_text() -> None:
    nasty = '"><script>alert(1)</script>$title'
    phone = GOOD.caller.model_copy(
        update={"trace": (GOOD.caller.trace[0].model_copy(update={"text": nasty + "\r\n\r\n"}),)}
    )
    consumer = GOOD.consumer.model_copy(update={"path": nasty, "close_reason": nasty})
    made = change_messages(
        GOOD.model_copy(update={"caller": phone, "consumer": consumer}),
        lambda bodies: [*bodies, {"event": nasty, "streamSid": nasty}],
    )
    page = render(made, run_checks(made))
    assert Page(page).text.count("alert(1)") > 2
    assert page.count("<script>") == 2


@pytest.mark.parametrize("what", ["no connection", "no call", "nothing"])
def test_a_run_that_failed_has_a_page_too(what: str) -> None:
    made = GOOD
    if what != "no call":
        made = made.model_copy(update={"consumer": ConsumerReport(url=GOOD.consumer.url, connections=0)})
    if what != "no connection":
        silent = {
            "answered_at": None,
            "ended_at": None,
            "heard": b"",
            "heard_at": None,
            "status": 0,
            "trace": (),
        }
        made = made.model_copy(
            update={name: getattr(GOOD, name).model_copy(update=silent) for name in ("caller", "callee")}
        )
    page = Page(render(made, run_checks(made)))
    assert "checks failed" in page.text
    assert "That did not happen" in page.text


def test_a_page_can_be_made_again_from_the_saved_recording() -> None:
    saved = Recording.model_validate_json(GOOD.model_dump_json())
    assert render(saved, run_checks(saved)) == HTML
