"""1. SIP: transports, PJSIP, dialogs, SDP, trunks. Imports none of the other four packages.

Read in this order: `events` and `legs` (what the bridge sees), `endpoint`, `listeners` and `sockets` with
`framing`, `intake`, `driver`, then the engine itself in ext/pjsip. `sdp`, `uris`, `trunks`, `access`,
`framing` and `mending` are pure.
"""

from forkproxy.signalling.endpoint import SipEndpoint
from forkproxy.signalling.intake import TraceMessage
from forkproxy.signalling.legs import IncomingLeg, Leg, OutgoingLeg

__all__ = ["IncomingLeg", "Leg", "OutgoingLeg", "SipEndpoint", "TraceMessage"]
