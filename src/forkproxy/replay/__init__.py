"""``forkproxy replay``: plays a recorded stream to somebody's server, as forkproxy would, or with faults.

1. `script`    from a fixture to what is sent when (no I/O)
2. `playout`   the audio that the server sends, as the caller would hear it (no I/O)
3. `player`    one performance: script, playout, and whether the server keeps the contract (no I/O)
4. `client`    the socket
5. `main`      the command
"""
