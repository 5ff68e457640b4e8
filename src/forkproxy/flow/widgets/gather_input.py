"""Gather Input On Call: keys that the caller presses.

Source: twilio.com/docs/studio/widget-library/gather-input-call.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from forkproxy.flow.actions import Gather
from forkproxy.flow.definition import Properties
from forkproxy.flow.events import FlowEvent, GatherEnded
from forkproxy.flow.liquid import Template
from forkproxy.flow.widgets.base import EMPTY, Goto, Site, Step, Widget
from forkproxy.flow.widgets.prompt import check_not_play, check_play, play_url


class GatherInputProperties(Properties):
    """The properties of Gather Input On Call; exactly one of `say` and `play` is given.

    Those that say how speech is recognised are let through: exports have them, whether or not they are used.
    """

    hints: ClassVar[dict[str, str]] = {
        "num_digits": "number_of_digits",
        "digits": "number_of_digits",
        "finishOnKey": "finish_on_key",
        "text": "say",
        "message": "say",
        "url": "play",
        "loops": "loop",
    }

    say: Template = EMPTY
    play: Template = EMPTY
    voice: Template = EMPTY
    language: Template = EMPTY
    loop: Annotated[int, Field(ge=1, le=99)] = 1
    timeout: Annotated[int, Field(ge=0, le=600)] = 5
    finish_on_key: str = "#"
    stop_gather: bool = True
    number_of_digits: Annotated[int, Field(ge=1, le=1000)] | None = None
    save_response_as: Template | None = None
    gather_language: Template | None = None
    speech_timeout: Template | None = None
    speech_model: Template | None = None
    hints_: Annotated[Template | None, Field(alias="hints")] = None
    profanity_filter: Template | bool | None = None


class GatherInput(Widget[GatherInputProperties]):
    """Plays a prompt, and goes on when the caller has pressed keys, or has not."""

    type_name: ClassVar[str] = "gather-input-on-call"
    events: ClassVar[tuple[str, ...]] = ("keypress", "speech", "timeout")
    properties_model: ClassVar[type[Properties]] = GatherInputProperties

    def check(self, site: Site) -> None:
        given = self.properties
        used = [name for name in ("say", "play") if getattr(given, name).source]
        if len(used) != 1:
            found = f"; these are here: {', '.join(used)}" if used else ""
            site.error(f"must have exactly one of 'say' and 'play'{found}", "properties")
        if given.say.source:
            check_not_play(site, "say")
        check_play(site, given.play)
        if given.finish_on_key not in ("", *"0123456789*#"):
            site.error("must be one key, of 0 to 9, * and #, or empty", "properties", "finish_on_key")
        if given.save_response_as is not None and given.save_response_as.source:
            message = f"is not followed: the keys are in 'widgets.{self.name}.Digits'"
            site.warning(message, "properties", "save_response_as")
        for index, transition in enumerate(self.transitions):
            if transition.event == "speech" and transition.next:
                message = "leads nowhere: forkproxy does not recognise speech, only keys"
                site.warning(message, "transitions", index)

    def run(self, step: Step) -> Gather:
        given = self.properties
        return Gather(
            widget=self.name,
            url=play_url(step, given.play),
            loop=given.loop,
            timeout=given.timeout,
            finish_on_key=given.finish_on_key,
            number_of_digits=given.number_of_digits if given.stop_gather else None,
        )

    def resume(self, step: Step, event: FlowEvent) -> Goto | None:
        if not isinstance(event, GatherEnded):
            return None
        step.context.output(self.name, {**step.context.call, "Digits": event.digits})
        return self.follow("keypress" if event.digits else "timeout")
