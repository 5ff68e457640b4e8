"""``forkproxy consume`` and ``record``: a ready server for streams, for people who write their own.

1. `messages`  what either side may say, field by field (no I/O)
2. `checker`   whether what came is what Twilio Media Streams promises (no I/O)
3. `audio`     tracks as WAV files, by the messages' timestamps
4. `fixture`   a stream as a file: one JSON object a line
5. `answers`   what the server says back on a bidirectional stream (no I/O)
6. `session`   one stream: all of the above
7. `server`    the sockets
8. `screen`    meters and summaries in the terminal
9. `main`      the commands
"""
