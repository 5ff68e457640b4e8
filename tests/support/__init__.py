"""What the tests share: real peers, the proxy as a process, and tones to tell the parties apart."""
