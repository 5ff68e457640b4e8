"""One call's way through a flow: pure. Events and the time go in, actions come out.

The rules:

1. A flow waits at one widget at a time; what does not wait (splits, variables) runs through at once.
2. Where a branch ends, the flow ends: `HangUp` is the last action, and there is exactly one.
3. When the caller hangs up, the flow ends, unless the widget that waits has a transition for it ('hangup' of
   Connect Call To and Connect Stream). The rest of the flow then runs without a caller: what needs one fails
   at once.
4. A flow takes 1,000 steps at most (81000), and no widget 11 times in a row (81001); the limits are Studio's.
5. Nothing that a flow says makes this raise.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from forkproxy.flow.actions import (
    Action,
    Connect,
    ConnectStream,
    Gather,
    HangUp,
    Play,
    SendDigits,
    StartStream,
    WaitingAction,
    Warn,
)
from forkproxy.flow.context import Context
from forkproxy.flow.events import (
    CallerHungUp,
    ConnectEnded,
    FlowEvent,
    GatherEnded,
    PlayEnded,
    StreamEnded,
    StreamFailed,
)
from forkproxy.flow.loader import Flow
from forkproxy.flow.widgets.base import Goto, Step, Widget
from forkproxy.model import CallInfo

STEP_LIMIT = 1000
"""Widgets that an execution may run (Studio's limit)."""
REPEAT_LIMIT = 10
"""How many times in a row an execution may run the same widget (Studio's limit)."""
TOO_MANY_STEPS = 81000
TOO_MANY_REPEATS = 81001


class Execution:
    """A flow that runs for a call."""

    def __init__(
        self,
        flow: Flow,
        call: CallInfo,
        *,
        call_parameters: Mapping[str, str],
        flow_sid: str,
        execution_sid: str,
    ) -> None:
        """Make ready; nothing happens before `start`.

        Args:
            flow: what to run.
            call: who called whom.
            call_parameters: more values under ``trigger.call`` (``SipHeader_X-...``), or other ones.
            flow_sid: ``FW`` and 32 hexadecimal digits.
            execution_sid: ``FN`` and 32 hexadecimal digits.
        """
        self.flow = flow
        self.finished = False
        self._context = Context(call, call_parameters, flow_sid=flow_sid, execution_sid=execution_sid)
        self._waiting: Widget[Any] | None = None
        self._caller_gone = False
        self._steps = 0
        self._last = ""
        self._repeats = 0
        self._out: list[Action] = []

    @property
    def widget(self) -> str | None:
        """The name of the widget that waits for an event."""
        return None if self._waiting is None else self._waiting.name

    @property
    def steps(self) -> int:
        """How many widgets have run so far."""
        return self._steps

    def context(self) -> dict[str, Any]:
        """A copy of everything that templates can name."""
        return self._context.snapshot()

    def start(self, now: float) -> list[Action]:
        """Begin at the trigger.

        Args:
            now: seconds since the epoch, here and in `handle`.
        """
        if self._steps or self.finished:
            return []
        self._run(self.flow.initial, now)
        return self._take()

    def handle(self, event: FlowEvent, now: float) -> list[Action]:
        """Go on with the outcome of the action that was waited for; other events are ignored."""
        widget = self._waiting
        if widget is None:
            self._caller_gone |= isinstance(event, CallerHungUp)
            return []
        step = self._step(widget, now)
        if isinstance(event, CallerHungUp):
            if self._caller_gone:
                return []
            self._caller_gone = True
            goto = widget.caller_gone(step, event)
            if goto is None:
                self._finish("the caller hung up")
                return self._take()
        else:
            goto = widget.resume(step, event)
            if goto is None:
                return []
        self._waiting = None
        self._run(goto.target, now)
        return self._take()

    def _run(self, name: str | None, now: float) -> None:
        """Run widgets from this one on, up to one that waits, or to the end."""
        while name is not None:
            widget = self.flow.widgets.get(name)
            if widget is None or not self._may_run(name):
                self._finish(f"the flow was stopped at '{name}'")
                return
            step = self._step(widget, now)
            result = widget.run(step)
            if not isinstance(result, Goto) and self._caller_gone:
                result = self._without_caller(widget, step, result)
            if not isinstance(result, Goto):
                self._waiting = widget
                self._out.append(result)
                return
            name = result.target
        self._finish(f"the flow ended after '{self._last}'")

    def _without_caller(self, widget: Widget[Any], step: Step, action: WaitingAction) -> Goto | WaitingAction:
        """Rule 3: the outcome of an action that nobody is there for; stopping a stream needs nobody."""
        failure: FlowEvent
        match action:
            case StartStream():
                failure = StreamFailed(31900, "the stream was not started: the caller has hung up")
            case ConnectStream():
                step.warn(None, "no stream is connected: the caller has hung up")
                failure = StreamEnded("", 31900, "the stream was not started: the caller has hung up", 0)
            case Connect():
                step.warn(None, "nobody is dialled: the caller has hung up")
                failure = ConnectEnded("failed", "", 0)
            case Play() | SendDigits():
                failure = PlayEnded("nothing is played: the caller has hung up")
            case Gather():
                step.warn(None, "no keys are gathered: the caller has hung up")
                failure = GatherEnded("")
            case _:
                return action
        return widget.resume(step, failure) or Goto(None)

    def _may_run(self, name: str) -> bool:
        """Rule 4."""
        self._repeats = self._repeats + 1 if name == self._last else 1
        self._last = name
        if self._repeats > REPEAT_LIMIT:
            message = f"the widget ran {REPEAT_LIMIT} times in a row: the flow is stopped"
            self._out.append(Warn(TOO_MANY_REPEATS, message, name))
            return False
        if self._steps >= STEP_LIMIT:
            message = f"the flow took {STEP_LIMIT:,} steps: it is stopped"
            self._out.append(Warn(TOO_MANY_STEPS, message, name))
            return False
        self._steps += 1
        return True

    def _step(self, widget: Widget[Any], now: float) -> Step:
        return Step(widget.name, self._context, self.flow.path.parent, now, self._out)

    def _finish(self, reason: str) -> None:
        self._waiting = None
        self.finished = True
        self._out.append(HangUp(reason))

    def _take(self) -> list[Action]:
        out, self._out = self._out, []
        return out
