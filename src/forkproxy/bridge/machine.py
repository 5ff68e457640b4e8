"""The call as a pure state machine: events and `now` in, actions and the next deadline out.

The rules, which everything below serves:

1. The flow runs one widget at a time; the machine is either waiting for that widget's result or over.
2. The caller is answered when the callee answers, or when the flow plays something, asks for keys or connects
   a stream; before that every provisional response and the final failure of the last callee travel through to
   the caller.
3. The caller's end ends the callee. The callee's end is a result for the flow, which decides what follows.
4. Forked streams never decide anything: their creation lets the flow go on, and so does their failure, and so
   does `start_wait` seconds without either.
5. The flow's end ends the caller; everything still open is closed; when both legs have ended the call is
   finished, once.
6. Keys count while the flow asks for them, and only then. The first stops the prompt; the time that the
   caller has for the next begins with the prompt's end and with each key.
7. A stream that is connected to the caller has the call to itself: there is no callee. It ends by its far
   end, by its time limit or with the call; unlike others, its end is a result for the flow.
8. A shutdown, and audio that has been missing for too long, end the call at once, past the flow.
9. A recorded call (SIPREC) takes place elsewhere: its caller is a recording client, which is answered first
   of all. connect-call-to lasts as long as that call does, nothing can be played or asked, and the flow's end
   ends nothing while a stream is open.

| caller    | may get                                   | leaves by                          |
|-----------|-------------------------------------------|------------------------------------|
| `RINGING` | RingCaller, AnswerCaller, RejectCaller    | AnswerCaller, RejectCaller, ended  |
| `UP`      | HangUpCaller                              | HangUpCaller, ended                |
| `LEAVING` | nothing                                   | ended                              |
| `GONE`    | nothing                                   |                                    |

| callee    | on the way to                                                            |
|-----------|--------------------------------------------------------------------------|
| `NONE`    | `DIALLING` by a connect-call-to widget                                   |
| `DIALLING`| `UP` when it answers, `LEAVING` when we give up, `NONE` when it ends     |
| `UP`      | `LEAVING` when we hang up, `NONE` when it ends                           |
| `LEAVING` | `NONE` when it ends                                                      |
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from enum import Enum, auto
from typing import Literal

from forkproxy.bridge import actions as do
from forkproxy.bridge import events as ev
from forkproxy.flow import Execution
from forkproxy.flow import actions as flow_actions
from forkproxy.flow import events as flow_events
from forkproxy.model import StreamSpec

LINGER = 70.0
"""Seconds after which a leg that was hung up is given up for dead; SIP's own timers end it at 32."""

MOST_DIGITS = 1000
"""How many keys are gathered at most, however many the flow asks for: a phone must not fill our memory."""


class Caller(Enum):
    """The caller's leg."""

    RINGING = auto()
    UP = auto()
    LEAVING = auto()
    GONE = auto()


class Callee(Enum):
    """The callee's leg."""

    NONE = auto()
    DIALLING = auto()
    UP = auto()
    LEAVING = auto()


class Wait(Enum):
    """What the flow's current widget waits for."""

    NOTHING = auto()
    STREAM = auto()
    CONNECT = auto()
    PLAY = auto()
    GATHER = auto()
    TALK = auto()


def dial_status(status: int) -> Literal["busy", "no-answer", "failed"]:
    """Twilio's DialCallStatus for a SIP failure (twilio.com/docs/voice/twiml/dial)."""
    if status in (486, 600, 603):
        return "busy"
    if status in (408, 480, 487):
        return "no-answer"
    return "failed"


class CallMachine:
    """One call's logic. Not thread-safe, reads no clock, touches no socket."""

    def __init__(
        self,
        execution: Execution,
        *,
        epoch: float,
        start_wait: float,
        new_sid: Callable[[str], str],
        recorded: bool = False,
    ) -> None:
        """
        Args:
            execution: the flow, not yet started.
            epoch: wall-clock seconds at `now` 0, for the flow's dates.
            start_wait: the seconds that a fork-stream widget waits for its connection.
            new_sid: makes the sid of a dialled leg.
            recorded: the caller is a recording client (rule 9).
        """
        self.execution = execution
        self.caller = Caller.RINGING
        self.callee = Callee.NONE
        self.waiting = Wait.NOTHING
        self.finished = False
        self.streams: dict[int, str | None] = {}
        """The open streams and the names that the flow gave them."""
        self._epoch = epoch
        self._start_wait = start_wait
        self._new_sid = new_sid
        self._recorded = recorded
        self._outlived = False
        """The flow of a recorded call is over; its streams go on."""
        self._key = 0
        self._leg = 0
        self._leg_sid = ""
        self._stream = 0
        self._talk = ("", 0.0)
        """The sid of the stream that the caller talks with, and since when."""
        self._prompt = 0
        self._prompting = False
        self._gather: flow_actions.Gather | None = None
        self._digits = ""
        self._callee_digits = ""
        self._ringback = False
        self._early = False
        self._answered_at = 0.0
        self._time_limit: int | None = None
        self._deadline: float | None = None
        self._linger: float | None = None
        self._failure = (480, "Temporarily Unavailable")
        self._reason: str | None = None
        self._out: list[do.CallAction] = []

    def dials(self, leg: int) -> bool:
        """Whether the callee with this key is still wanted, and has not answered."""
        return self.callee is Callee.DIALLING and leg == self._leg

    @property
    def deadline(self) -> float | None:
        """When `poll` wants to be called, on the clock of `now`; None: not before the next event."""
        times = [at for at in (self._deadline, self._linger) if at is not None]
        return min(times) if times else None

    def start(self, now: float) -> list[do.CallAction]:
        """The INVITE has been accepted: begin the flow."""
        if self._recorded:
            self._answer_caller()
        self._run_flow(self.execution.start(now + self._epoch), now)
        return self._flush(now)

    def handle(self, event: ev.CallEvent, now: float) -> list[do.CallAction]:
        """Take one event in; events of legs and streams that are no longer ours do nothing."""
        if self.finished:
            return []
        match event:
            case ev.CallerEnded():
                self._caller_ended(event, now)
            case ev.CalleeProgress() if event.leg == self._leg and self.callee is Callee.DIALLING:
                self._callee_progress(event)
            case ev.CalleeAnswered() if event.leg == self._leg and self.callee is Callee.DIALLING:
                self._callee_answered(now)
            case ev.CalleeEnded() if event.leg == self._leg:
                self._callee_ended(event, now)
            case ev.StreamCreated():
                if self.waiting is Wait.STREAM and event.stream == self._stream:
                    self._resume(flow_events.StreamStarted(event.sid), now)
                elif self.waiting is Wait.TALK and event.stream == self._stream:
                    self._talk = (event.sid, now)
            case ev.StreamEnded():
                self._stream_ended(event, now)
            case ev.PlayFinished():
                if event.prompt == self._prompt and self._prompting:
                    self._play_finished(event, now)
            case ev.KeyPressed():
                if self._gather is not None:
                    self._key_pressed(event.key, self._gather, now)
            case ev.ShutDown():
                self._reason = self._reason or event.reason
                self._failure = (503, "Service Unavailable")
                self._end(now)
            case ev.RecordingLost():
                self._reason = self._reason or event.reason
                self._failure = (503, "Service Unavailable")
                self._end(now)
            case ev.AudioLost():
                self._reason = self._reason or event.reason
                self._end(now)
            case _:
                pass
        return self._flush(now)

    def poll(self, now: float) -> list[do.CallAction]:
        """Run what is due at `now`."""
        if self._linger is not None and now >= self._linger:
            self._linger = None
            self._report(None, "a leg did not end in time and was given up")
            self.caller, self.callee = Caller.GONE, Callee.NONE
        if self._deadline is not None and now >= self._deadline:
            self._deadline = None
            if self.waiting is Wait.STREAM:
                self._report(
                    None, f"the stream is not connected after {self._start_wait:g} s; the flow goes on"
                )
                self._resume(flow_events.StreamStarted(""), now)
            elif self.waiting is Wait.GATHER:
                self._gathered(now)
            elif self.waiting is Wait.TALK:
                self._report(None, "the time limit of the stream is over")
                self._resume(self._leave_stream(now, "its time limit is over"), now)
            elif self.callee is Callee.DIALLING:
                self._failure = (480, "No Answer")
                self._leave_callee()
                self._resume(flow_events.ConnectEnded("no-answer", self._leg_sid, 0), now)
            elif self.callee is Callee.UP:
                self._report(None, f"the time limit of {self._time_limit} s is over")
                self._complete(now)
        return self._flush(now)

    # The flow

    def _resume(self, event: flow_events.FlowEvent, now: float) -> None:
        self._wait_no_more()
        self._run_flow(self.execution.handle(event, now + self._epoch), now)

    def _run_flow(self, actions: Sequence[flow_actions.Action], now: float) -> None:
        """Carry out what the flow asks; a widget that is over at once feeds its result back, in a loop."""
        pending = list(actions)
        while pending:
            action = pending.pop(0)
            result: flow_events.FlowEvent | None = None
            match action:
                case flow_actions.Warn():
                    self._out.append(do.Report(action.code, action.message, action.widget))
                case flow_actions.StartStream():
                    result = self._start_stream(action, now)
                case flow_actions.ConnectStream():
                    result = self._connect_stream(action, now)
                case flow_actions.StopStream():
                    result = self._stop_stream(action)
                case flow_actions.Connect():
                    result = self._connect(action, now)
                case flow_actions.Play():
                    result = self._play(action)
                case flow_actions.SendDigits():
                    result = self._send_digits(action)
                case flow_actions.Gather():
                    result = self._ask(action, now)
                case flow_actions.HangUp() if self._recorded and self.streams and not self._caller_leaving:
                    self._outlived = True
                case flow_actions.HangUp():
                    self._reason = self._reason or action.reason
                    self._end(now)
            if result is not None:
                pending += self.execution.handle(result, now + self._epoch)

    def _start_stream(self, action: flow_actions.StartStream, now: float) -> flow_events.FlowEvent | None:
        problem = self._no_stream(action.spec.name, action.widget)
        if problem is not None:
            return flow_events.StreamFailed(31900, problem)
        self._open_stream(action.spec)
        if self._start_wait <= 0:
            return flow_events.StreamStarted("")
        self.waiting, self._deadline = Wait.STREAM, now + self._start_wait
        return None

    def _connect_stream(self, action: flow_actions.ConnectStream, now: float) -> flow_events.FlowEvent | None:
        problem = self._no_stream(action.spec.name, action.widget)
        if problem is not None:
            return flow_events.StreamEnded("", 31900, problem, 0)
        self._answer_caller()
        self._open_stream(action.spec)
        self.waiting, self._talk = Wait.TALK, ("", now)
        self._deadline = now + action.time_limit if action.time_limit else None
        return None

    def _no_stream(self, name: str | None, widget: str) -> str | None:
        """What keeps a stream from being opened, if anything does."""
        if name is not None and name in self.streams.values():
            message = f"a stream named {name!r} is already running on this call"
            self._out.append(do.Report(None, message, widget))
            return message
        return "the call is over" if self._caller_leaving else None

    def _open_stream(self, spec: StreamSpec) -> None:
        if self._recorded and spec.bidirectional:
            self._report(None, "nobody hears what a stream says to a recorded call")
            spec = replace(spec, bidirectional=False)
        self._stream = self._next_key()
        self.streams[self._stream] = spec.name
        self._out.append(do.OpenStream(self._stream, spec))

    def _stop_stream(self, action: flow_actions.StopStream) -> flow_events.FlowEvent:
        """Without a name every stream of the call stops: the one meaning that leaves nothing running."""
        keys = [key for key, name in self.streams.items() if action.name is None or name == action.name]
        if not keys:
            which = "no stream" if action.name is None else f"no stream named {action.name!r}"
            self._out.append(do.Report(None, f"{which} is running on this call", action.widget))
        for key in keys:
            self._close_stream(key, "stopped by the flow")
        return flow_events.StreamStopped(None)

    def _connect(self, action: flow_actions.Connect, now: float) -> flow_events.FlowEvent | None:
        if self._caller_leaving:
            return flow_events.ConnectEnded("canceled", "", 0)
        if self._recorded:
            self.waiting, self._answered_at = Wait.CONNECT, now
            return None
        self._leg, self._leg_sid = self._next_key(), self._new_sid("CA")
        self.callee, self._early, self._time_limit = Callee.DIALLING, False, action.time_limit
        self._callee_digits = action.send_digits
        self.waiting, self._deadline = Wait.CONNECT, now + action.timeout
        self._out.append(do.DialCallee(self._leg, action))
        return None

    def _play(self, action: flow_actions.Play) -> flow_events.FlowEvent | None:
        if self._caller_leaving:
            return flow_events.PlayEnded("the call is over")
        if self._recorded:
            return flow_events.PlayEnded("a recorded call cannot be played anything")
        self._answer_caller()
        self.waiting = Wait.PLAY
        self._play_prompt(action.url, action.loop)
        return None

    def _send_digits(self, action: flow_actions.SendDigits) -> flow_events.FlowEvent | None:
        if self._caller_leaving:
            return flow_events.PlayEnded("the call is over")
        if self._recorded:
            return flow_events.PlayEnded("a recorded call cannot be sent keys")
        self._answer_caller()
        self.waiting = Wait.PLAY
        self._prompt, self._prompting = self._prompt + 1, True
        self._out.append(do.SendDigits(action.digits, self._prompt))
        return None

    def _ask(self, action: flow_actions.Gather, now: float) -> flow_events.FlowEvent | None:
        if self._caller_leaving:
            return flow_events.GatherEnded("")
        if self._recorded:
            self._report(None, "a recorded call cannot be asked for keys")
            return flow_events.GatherEnded("")
        self._answer_caller()
        self.waiting, self._gather, self._digits = Wait.GATHER, action, ""
        if action.url is None:
            self._deadline = now + action.timeout
        else:
            self._play_prompt(action.url, action.loop)
        return None

    def _wait_no_more(self) -> None:
        self.waiting, self._deadline = Wait.NOTHING, None
        self._prompting, self._gather, self._digits = False, None, ""

    # Prompts and keys

    def _play_prompt(self, url: str, loop: int) -> None:
        self._prompt, self._prompting = self._prompt + 1, True
        self._out.append(do.PlayPrompt(self._prompt, url, loop))

    def _play_finished(self, event: ev.PlayFinished, now: float) -> None:
        self._prompting = False
        if self._gather is None:
            self._resume(flow_events.PlayEnded(event.error), now)
            return
        if event.error is not None:
            self._report(None, event.error)
        self._deadline = now + self._gather.timeout

    def _key_pressed(self, key: str, gather: flow_actions.Gather, now: float) -> None:
        if key == "!":  # the hook's flash is no key
            return
        if self._prompting:
            self._prompting = False
            self._out.append(do.StopPrompt(self._prompt))
        self._deadline = now + gather.timeout
        if key == gather.finish_on_key:
            self._gathered(now)
            return
        self._digits += key
        if len(self._digits) in (gather.number_of_digits, MOST_DIGITS):
            self._gathered(now)

    def _gathered(self, now: float) -> None:
        self._resume(flow_events.GatherEnded(self._digits), now)

    # The caller

    @property
    def _caller_leaving(self) -> bool:
        return self.caller in (Caller.LEAVING, Caller.GONE)

    def _answer_caller(self) -> None:
        if self.caller is Caller.RINGING:
            self.caller = Caller.UP
            self._out.append(do.AnswerCaller())

    def _caller_ended(self, event: ev.CallerEnded, now: float) -> None:
        expected = self._caller_leaving
        self.caller = Caller.GONE
        if expected:
            return
        self._reason = (
            self._reason or f"the caller ended the call ({event.status} {event.reason}, by {event.by})"
        )
        dialled = self._dialled(now)
        talked = self._leave_stream(now, "the caller hung up") if self.waiting is Wait.TALK else None
        self._leave_callee()
        waited = self.waiting is not Wait.NOTHING
        self._wait_no_more()
        if waited:
            gone = flow_events.CallerHungUp(dialled, talked)
            self._run_flow(self.execution.handle(gone, now + self._epoch), now)

    def _dialled(self, now: float) -> flow_events.ConnectEnded | None:
        """What became of the callee, for the flow's `hangup` branch."""
        if self.callee is Callee.UP:
            return flow_events.ConnectEnded("completed", self._leg_sid, round(now - self._answered_at))
        if self.callee is Callee.DIALLING:
            return flow_events.ConnectEnded("canceled", self._leg_sid, 0)
        if self._recorded and self.waiting is Wait.CONNECT:
            return flow_events.ConnectEnded("completed", "", round(now - self._answered_at))
        return None

    # The callee

    def _callee_progress(self, event: ev.CalleeProgress) -> None:
        self._early = self._early or event.early_media
        if event.early_media:
            self._set_ringback(False)
            self._out.append(do.BridgeAudio(self._leg))
        if self.caller is Caller.RINGING:
            self._out.append(do.RingCaller(event.status, event.reason, event.early_media))
        elif self.caller is Caller.UP and not self._early:
            self._set_ringback(True)

    def _callee_answered(self, now: float) -> None:
        self._set_ringback(False)
        self.callee, self._answered_at = Callee.UP, now
        self._deadline = now + self._time_limit if self._time_limit else None
        self._out.append(do.BridgeAudio(self._leg))
        if self._callee_digits:
            self._out.append(do.SendDigits(self._callee_digits, leg=self._leg))
        self._answer_caller()

    def _callee_ended(self, event: ev.CalleeEnded, now: float) -> None:
        before, self.callee = self.callee, Callee.NONE
        self._set_ringback(False)
        if before is Callee.UP:
            self._complete(now)
        elif before is Callee.DIALLING:
            self._failure = (event.status if event.status >= 300 else 480, event.reason)
            result = flow_events.ConnectEnded(dial_status(self._failure[0]), self._leg_sid, 0)
            self._resume(result, now)

    def _complete(self, now: float) -> None:
        """The conversation is over, by the callee or by the time limit: the flow goes on with the caller."""
        self._leave_callee()
        self._failure = (480, "Temporarily Unavailable")
        duration = round(now - self._answered_at)
        self._resume(flow_events.ConnectEnded("completed", self._leg_sid, duration), now)

    def _leave_callee(self) -> None:
        self._set_ringback(False)
        if self.callee in (Callee.DIALLING, Callee.UP):
            self.callee = Callee.LEAVING
            self._out.append(do.HangUpCallee(self._leg))

    def _set_ringback(self, on: bool) -> None:
        if self._ringback != on:
            self._ringback = on
            self._out.append(do.Ringback(on))

    # Streams

    def _stream_ended(self, event: ev.StreamEnded, now: float) -> None:
        """A stream that ended by itself (rule 4); one that we closed has left the table already."""
        if self.streams.pop(event.stream, self) is self:
            return
        self._out.append(do.CloseStream(event.stream, event.message))
        if event.code is not None:
            self._report(event.code, f"stream {event.sid} ended: {event.message}")
        if self._outlived and not self.streams:
            self._reason = self._reason or "no stream of the recorded call is left"
            self._end(now)
        if self.waiting is Wait.STREAM and event.stream == self._stream:
            self._resume(flow_events.StreamFailed(event.code or 31900, event.message), now)
        elif self.waiting is Wait.TALK and event.stream == self._stream:
            self._resume(self._talked(event.sid, event.code, event.message, now), now)

    def _leave_stream(self, now: float, reason: str) -> flow_events.StreamEnded:
        """End the stream that the caller talks with."""
        self._close_stream(self._stream, reason)
        return self._talked(self._talk[0], None, reason, now)

    def _talked(self, sid: str, code: int | None, message: str, now: float) -> flow_events.StreamEnded:
        connected, since = self._talk
        return flow_events.StreamEnded(sid, code, message, round(now - since) if connected else 0)

    def _close_stream(self, key: int, reason: str) -> None:
        del self.streams[key]
        self._out.append(do.CloseStream(key, reason))

    # The end

    def _end(self, now: float) -> None:
        """Hang everything up; Finish follows when both legs have said that they are gone."""
        self._wait_no_more()
        for key in list(self.streams):
            self._close_stream(key, "the call ended")
        self._leave_callee()
        if self.caller is Caller.UP:
            self._out.append(do.HangUpCaller())
            self.caller = Caller.LEAVING
        elif self.caller is Caller.RINGING:
            self._out.append(do.RejectCaller(*self._failure))
            self.caller = Caller.LEAVING

    def _flush(self, now: float) -> list[do.CallAction]:
        over = self.waiting is Wait.NOTHING
        if over and self._caller_leaving and not self.finished:
            if self.streams or self.callee in (Callee.DIALLING, Callee.UP):
                self._end(now)
            if self.caller is Caller.GONE and self.callee is Callee.NONE:
                self.finished, self._linger, self._deadline = True, None, None
                self._out.append(do.Finish(self._reason or "the flow ended"))
            elif self._linger is None:
                self._linger = now + LINGER
        out, self._out = self._out, []
        return out

    def _next_key(self) -> int:
        self._key += 1
        return self._key

    def _report(self, code: int | None, message: str) -> None:
        self._out.append(do.Report(code, message, self.execution.widget or ""))
