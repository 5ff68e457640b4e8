"""The envelope of a Studio definition: what stands around the widgets' own properties.

Source: the flow definition's schema (twilio.com/docs/studio/rest-api/v2/schemas) and real exports.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

MAX_STATES = 1000
"""The most widgets of a definition (Studio's limit)."""

Name = Annotated[str, Field(min_length=1)]


class Part(BaseModel):
    """A part of a definition: frozen, and what it does not know is a mistake."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


class Envelope(Part):
    """The whole. Keys that Studio may add one day are let through, with a warning (see `loader`)."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    initial_state: Name
    """The name of the trigger."""
    states: Annotated[tuple[Any, ...], Field(min_length=1, max_length=MAX_STATES)]
    """The widgets."""
    description: str | None = None
    flags: dict[str, Any] | None = None


KNOWN_KEYS = (*Envelope.model_fields, "$schema")


class State(Part):
    """One widget."""

    hints: ClassVar[dict[str, str]] = {
        "id": "name",
        "widget": "type",
        "widget_type": "type",
        "next": "transitions",
    }

    name: Name
    type: Name
    transitions: tuple[Any, ...] = ()
    properties: dict[str, Any] = {}


class Transition(Part):
    """Where the flow goes when the widget fires `event`; no `next` (or an empty one) ends the branch."""

    hints: ClassVar[dict[str, str]] = {"to": "next", "target": "next", "state": "next", "on": "event"}

    event: str
    next: str | None = None


class Properties(Part):
    """What all widgets have: the place on Studio's canvas, which means nothing here."""

    offset: Any = None
