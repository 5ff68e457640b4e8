"""Documents that people write (configurations and flows): read with the place of every value.

A `Document` is YAML or JSON as plain Python values, and it knows the line of each, so that every mistake
is reported where an editor can jump to it. `validate` checks a document against a pydantic model and says
what is wrong in the words that Twilio Studio uses.

What YAML means here is less than YAML allows, on purpose: a plain scalar is what JSON would make of it
(``true``, ``false``, ``null``, numbers), and everything else is text. So ``no`` is text, ``+15551230000``
and ``007`` are text, ``12:30`` and ``2026-01-31`` are text. Keys are always text, exactly as written.
"""

from __future__ import annotations

from forkproxy.document.reader import load, loads
from forkproxy.document.tree import MAX_BYTES, MAX_DEPTH, MAX_NODES, Document, closest, did_you_mean
from forkproxy.document.validation import validate

__all__ = [
    "MAX_BYTES",
    "MAX_DEPTH",
    "MAX_NODES",
    "Document",
    "closest",
    "did_you_mean",
    "load",
    "loads",
    "validate",
]
