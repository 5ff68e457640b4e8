"""The Trigger: where a flow begins (twilio.com/docs/studio/widget-library/trigger-start)."""

from __future__ import annotations

from typing import ClassVar

from forkproxy.flow.definition import Properties
from forkproxy.flow.widgets.base import Goto, Site, Step, Widget

INCOMING_CALL = "incomingCall"


class Trigger(Widget[Properties]):
    """Begins the flow. Calls are what comes to forkproxy, so the other events' branches never run."""

    type_name: ClassVar[str] = "trigger"
    events: ClassVar[tuple[str, ...]] = (
        "incomingMessage",
        INCOMING_CALL,
        "incomingConversationMessage",
        "incomingRequest",
        "incomingParent",
    )
    waits: ClassVar[bool] = False

    def check(self, site: Site) -> None:
        if self.follow(INCOMING_CALL).target is None and site.reachable:
            site.warning(
                "has no 'next' for 'incomingCall': an incoming call is hung up at once", "transitions"
            )

    def run(self, step: Step) -> Goto:
        return self.follow(INCOMING_CALL)
