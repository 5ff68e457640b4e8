"""2. The flow: a Studio definition loaded, checked and interpreted; pure. Events in, actions out.

load, check    a file into a `Flow`, or into the list of its mistakes
Execution      one call's way through it
actions        what it asks for
events         what it is told
"""

from __future__ import annotations

from forkproxy.flow.execution import Execution
from forkproxy.flow.loader import Flow, check, load

__all__ = ["Execution", "Flow", "check", "load"]
