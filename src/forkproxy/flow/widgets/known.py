"""Widgets that Studio has and forkproxy does not run yet, and names that Studio does not have.

Source: the definition schema's list of types, and each widget's page under
twilio.com/docs/studio/widget-library.
"""

from __future__ import annotations

from collections.abc import Mapping

KNOWN: Mapping[str, tuple[str, ...] | None] = {
    "add-member-to-chat-channel": None,
    "add-twiml-redirect": ("return", "timeout", "fail"),
    "capture-payments": (
        "success",
        "maxFailedAttempts",
        "providerError",
        "payInterrupted",
        "hangup",
        "validationError",
    ),
    "connect-virtual-agent": ("return", "hangup"),
    "connect-virtual-agent-v2": ("completed", "live-agent-handoff", "hangup", "failed", "paused", "timeout"),
    "create-chat-channel": None,
    "create-task": None,
    "enqueue-call": ("callComplete", "failedToEnqueue", "callFailure"),
    "make-http-request": ("success", "failed"),
    "make-outgoing-call-v1": ("answered", "busy", "noAnswer", "failed", "answeredByMachine", "hangup"),
    "make-outgoing-call-v2": ("answered", "busy", "noAnswer", "failed"),
    "record-call": ("success", "failed"),
    "record-voicemail": ("recordingComplete", "noAudio", "hangup"),
    "resume-conversation": None,
    "run-conversation-relay": None,
    "run-function": ("success", "fail"),
    "run-function-v2": None,
    "run-subflow": ("completed", "failed"),
    "send-and-wait-for-reply": ("incomingMessage", "timeout", "deliveryFailure"),
    "send-message": ("sent", "failed"),
    "send-to-auto-pilot": None,
    "send-to-flex": ("callComplete", "failedToEnqueue", "callFailure", "composerStarted"),
    "start-conversation": None,
    "understand": None,
    "update-sync-object": None,
}
"""Types that exist but do not run here yet, with their events; None: any event is let through."""

_END = "Studio has no widget that hangs up: leave out 'next', and the call is hung up where a branch ends"
_STREAM = "streams are started and stopped by 'fork-stream' with 'stream_action'"

INVENTED: Mapping[str, str] = {
    "hangup": _END,
    "hang-up": _END,
    "end-call": _END,
    "stop-call": _END,
    "end": _END,
    "end-flow": _END,
    "start-stream": _STREAM,
    "stop-stream": _STREAM,
    "media-stream": _STREAM,
    "stream": _STREAM,
    "connect-media-stream": "a server that talks with the caller is connected by 'connect-stream'",
    "bidirectional-stream": "a server that talks with the caller is connected by 'connect-stream'",
    "http-request": "the type is 'make-http-request'",
    "make-http-request-v2": "the type is 'make-http-request'",
    "function": "the type is 'run-function'",
    "dial": "a second party is dialled by 'connect-call-to'",
    "connect-call": "the type is 'connect-call-to'",
    "forward-call": "a second party is dialled by 'connect-call-to'",
    "make-outgoing-call": "the types are 'make-outgoing-call-v1' and 'make-outgoing-call-v2'",
    "say": "the type is 'say-play', with the property 'say'",
    "play": "the type is 'say-play', with the property 'play'",
    "say-message": "the type is 'say-play', with the property 'say'",
    "gather": "the type is 'gather-input-on-call'",
    "gather-input": "the type is 'gather-input-on-call'",
    "split": "the type is 'split-based-on'",
    "condition": "conditions are tested by 'split-based-on'",
    "if": "conditions are tested by 'split-based-on'",
    "wait": "Studio has no widget that waits",
    "delay": "Studio has no widget that waits",
    "pause": "Studio has no widget that waits",
    "siprec": "SIPREC is started by 'fork-stream' with 'stream_transport_type': 'siprec'",
}
"""Types that people (and language models) write but Studio never had, and what to write instead."""
