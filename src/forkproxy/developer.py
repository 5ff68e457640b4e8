"""The commands for the people at the other end of a stream: consume, record, replay."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from forkproxy.errors import ForkproxyError

if TYPE_CHECKING:
    from forkproxy.consumer.server import Listen

FILE = click.Path(path_type=Path)
LISTEN = "wss://127.0.0.1:8765"
TOKEN = "FORKPROXY_AUTH_TOKEN"

F = TypeVar("F", bound=Callable[..., Any])


def _server_options(function: F) -> F:
    """What consume and record have in common."""
    for option in reversed(
        [
            click.option(
                "--listen",
                multiple=True,
                default=[LISTEN],
                show_default=True,
                metavar="URL",
                help="Where to listen: wss:// or ws://; may be given more than once.",
            ),
            click.option(
                "--certificate", type=FILE, help="The server's certificate (PEM). By default one is made."
            ),
            click.option("--key", type=FILE, help="Its key, where it is not in the same file."),
            click.option(
                "--auth-token",
                envvar=TOKEN,
                show_envvar=True,
                help="Check X-Twilio-Signature with this account's auth token.",
            ),
            click.option("--url", help="The URL as the flow has it, where a proxy in between changes it."),
        ]
    ):
        function = option(function)
    return function


@click.command()
@_server_options
@click.option(
    "--out", default="consumed", type=FILE, show_default=True, help="The folder for what the streams bring."
)
@click.option("--stereo", is_flag=True, help="Both tracks in one WAV file, inbound left.")
@click.option(
    "--answer", metavar="echo|FILE.wav", default="", help="What to say back on a bidirectional stream."
)
@click.option("--barge-in", is_flag=True, help="Stop the WAV file's playing (clear) when the caller speaks.")
@click.option("--hang-up", is_flag=True, help="Close the connection when the WAV file has been played.")
@click.option("--fixture", type=FILE, help="Record the first stream to this file, for replay.")
@click.option("--streams", type=click.IntRange(0), default=0, help="End after so many streams.")
def consume(
    listen: Sequence[str],
    certificate: Path | None,
    key: Path | None,
    auth_token: str | None,
    url: str | None,
    out: Path,
    stereo: bool,
    answer: str,
    barge_in: bool,
    hang_up: bool,
    fixture: Path | None,
    streams: int,
) -> None:
    """Be the server that streams go to: show, keep and check what comes, and answer.

    Each stream gets a folder with its WAV files and a transcript. The exit status is 1 when a stream was not
    what Twilio Media Streams promises.
    """
    _needs_websockets()
    from forkproxy.consumer import main
    from forkproxy.consumer.session import Settings

    settings = Settings(out, stereo, auth_token, url, fixture, hang_up)
    options = main.Options(
        _listens(listen), settings, answer, barge_in=barge_in, chain=certificate, key=key, streams=streams
    )
    _exit(lambda: main.run(options))


@click.command()
@click.argument("fixture", type=FILE)
@_server_options
def record(
    fixture: Path,
    listen: Sequence[str],
    certificate: Path | None,
    key: Path | None,
    auth_token: str | None,
    url: str | None,
) -> None:
    """Wait for one stream and record it to FIXTURE, for replay."""
    _needs_websockets()
    from forkproxy.consumer import main
    from forkproxy.consumer.session import Settings

    settings = Settings(auth_token=auth_token, url=url)
    options = main.Options(_listens(listen), settings, chain=certificate, key=key)
    _exit(lambda: main.record(fixture, options))


def _pairs(context: click.Context, parameter: click.Parameter, values: Sequence[str]) -> dict[str, str]:
    mark = ":" if parameter.name == "header" else "="
    pairs = {}
    for value in values:
        name, found, rest = value.partition(mark)
        if not found or not name.strip():
            raise click.BadParameter(f"{value!r} is not like NAME{mark}VALUE")
        pairs[name.strip()] = rest.strip() if mark == ":" else rest
    return pairs


@click.command()
@click.argument("arguments", metavar="[FIXTURE] URL", nargs=-1, required=True)
@click.option(
    "--auth-token",
    envvar=TOKEN,
    show_envvar=True,
    help="Sign with this account's auth token; by default a chance one.",
)
@click.option(
    "--header", multiple=True, callback=_pairs, metavar="NAME:VALUE", help="One more for the handshake."
)
@click.option("--ca-file", type=FILE, help="Certificates (PEM) to trust besides the system's.")
@click.option(
    "--parameter", multiple=True, callback=_pairs, metavar="NAME=VALUE", help="One more in customParameters."
)
@click.option(
    "--bidirectional/--one-way", default=None, help="Whether the server may answer. By default, as recorded."
)
@click.option("--linger", type=click.FloatRange(0, 3600), default=0.0, help="Seconds of silence before stop.")
@click.option("--keep-sids", is_flag=True, help="The fixture's stream and call sid, instead of new ones.")
@click.option(
    "--speed", type=click.FloatRange(0.1, 1000), default=1.0, show_default=True, help="Times real time."
)
@click.option(
    "--jitter", type=click.FloatRange(0), default=0.0, help="Delay each message up to so many milliseconds."
)
@click.option(
    "--loss", type=click.FloatRange(0, 100), default=0.0, help="Leave out so many percent of the media."
)
@click.option(
    "--slow-start",
    type=click.FloatRange(0),
    default=0.0,
    help="Begin so many milliseconds late, and catch up.",
)
@click.option("--disconnect", type=click.FloatRange(0), help="Cut the connection after so many milliseconds.")
@click.option("--duplicate-marks", is_flag=True, help="Send each mark back twice.")
@click.option("--seed", type=int, default=0, help="Of what is left to chance.")
@click.option("--transcript", type=FILE, help="Write down what both sides said, as a fixture.")
@click.option("--heard", type=FILE, help="Write what the caller heard of the server, as a WAV file.")
def replay(
    arguments: Sequence[str],
    auth_token: str | None,
    header: dict[str, str],
    ca_file: Path | None,
    parameter: dict[str, str],
    bidirectional: bool | None,
    linger: float,
    keep_sids: bool,
    speed: float,
    jitter: float,
    loss: float,
    slow_start: float,
    disconnect: float | None,
    duplicate_marks: bool,
    seed: int,
    transcript: Path | None,
    heard: Path | None,
) -> None:
    """Play a recorded stream to the server at URL, exactly as forkproxy would, or with faults.

    Without FIXTURE, two synthetic voices are played. The exit status is 1 when the server breaks the
    contract.
    """
    if len(arguments) > 2:
        raise click.UsageError("give a fixture and a URL, or a URL alone")
    _needs_websockets()
    from forkproxy.consumer import fixture as fixtures
    from forkproxy.replay import main
    from forkproxy.replay.client import Connection
    from forkproxy.replay.script import Faults, Script

    def run() -> int:
        if len(arguments) == 2:
            fixture = fixtures.load(Path(arguments[0]))
        else:
            fixture = fixtures.sample(bidirectional=bool(bidirectional))
        faults = Faults(jitter, loss / 100, slow_start, disconnect, duplicate_marks)
        both = fixture.bidirectional if bidirectional is None else bidirectional
        script = Script(both, linger * 1000, keep_sids, parameter, faults, seed)
        token = {} if auth_token is None else {"auth_token": auth_token}
        connection = Connection(headers=header, ca_file=ca_file, speed=speed, **token)
        return main.run(
            fixture, arguments[-1], script=script, connection=connection, transcript=transcript, heard=heard
        )

    _exit(run)


def _listens(texts: Sequence[str]) -> list[Listen]:
    from forkproxy.consumer.server import Listen

    try:
        return [Listen.parse(text) for text in texts]
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--listen") from error


def _needs_websockets() -> None:
    if importlib.util.find_spec("websockets") is None:
        _fail("this command needs the package websockets: pip install 'forkproxy[demo]'")


def _exit(run: Callable[[], int]) -> NoReturn:
    try:
        sys.exit(run())
    except ForkproxyError as error:
        _fail(str(error))


def _fail(message: str) -> NoReturn:
    click.echo(f"forkproxy: {message}", err=True)
    sys.exit(1)
