"""1. SIP: transports, PJSIP, dialogs, SDP, trunks. Imports none of the other four packages."""
