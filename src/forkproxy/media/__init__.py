"""4. RTP: ports, the relay, the frame duplicator. Packets never meet Python."""
