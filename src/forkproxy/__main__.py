"""``python -m forkproxy`` is the command `forkproxy`."""

from forkproxy.cli import main

main(prog_name="forkproxy")
