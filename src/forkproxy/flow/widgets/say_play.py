"""Say/Play: audio for the caller (twilio.com/docs/studio/widget-library/sayplay)."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from forkproxy.flow.actions import Play, SendDigits
from forkproxy.flow.definition import Properties
from forkproxy.flow.events import FlowEvent, PlayEnded
from forkproxy.flow.liquid import Template
from forkproxy.flow.widgets.base import EMPTY, Goto, Site, Step, Widget
from forkproxy.flow.widgets.digits import check_digits, digits
from forkproxy.flow.widgets.prompt import check_not_play, check_play, play_url


class SayPlayProperties(Properties):
    """The properties of Say/Play; exactly one of `say`, `play` and `digits` is given."""

    hints: ClassVar[dict[str, str]] = {"text": "say", "message": "say", "url": "play", "loops": "loop"}

    say: Template = EMPTY
    play: Template = EMPTY
    digits: Template = EMPTY
    voice: Template = EMPTY
    language: Template = EMPTY
    loop: Annotated[int, Field(ge=1, le=99)] = 1


class SayPlay(Widget[SayPlayProperties]):
    """Plays a WAV file or presses keys, and goes on when that has been heard."""

    type_name: ClassVar[str] = "say-play"
    events: ClassVar[tuple[str, ...]] = ("audioComplete",)
    properties_model: ClassVar[type[Properties]] = SayPlayProperties

    def check(self, site: Site) -> None:
        given = self.properties
        used = [name for name in ("say", "play", "digits") if getattr(given, name).source]
        if len(used) != 1:
            found = f"; these are here: {', '.join(used)}" if used else ""
            site.error(f"must have exactly one of 'say', 'play' and 'digits'{found}", "properties")
        for name in used:
            if name == "say":
                check_not_play(site, name)
        check_play(site, given.play)
        check_digits(site, "digits", given.digits)

    def run(self, step: Step) -> Goto | Play | SendDigits:
        if self.properties.digits.source:
            keys = digits(step, "digits", self.properties.digits, self.properties.loop)
            return SendDigits(self.name, keys) if keys else self.follow("audioComplete")
        url = play_url(step, self.properties.play)
        if url is None:
            return self.follow("audioComplete")
        return Play(self.name, url, self.properties.loop)

    def resume(self, step: Step, event: FlowEvent) -> Goto | None:
        if not isinstance(event, PlayEnded):
            return None
        if event.error is not None:
            step.warn(None, event.error)
        return self.follow("audioComplete")
