"""forkproxy: a self-hosted SIP proxy that forks live call audio.

The road of a call, package by package:

1. `forkproxy.signalling`  who is calling, may they?   SIP by PJSIP, without sockets of its own
2. `forkproxy.flow`        what should happen?         a Twilio Studio definition, interpreted
3. `forkproxy.bridge`      make it happen              the call as a state machine
4. `forkproxy.media`       move packets, copy frames   RTP ports, the relay, the tap
5. `forkproxy.connectors`  hand the copies over        the connector API and its loader
"""

__version__ = "0.1.0"
