"""The command line. Exit status: 0 all is well, 1 problems (printed), 2 a command that does not exist so.

What a command needs is imported when it runs: `check` and `connectors` work where PJSIP does not load.
"""

from __future__ import annotations

import json
import logging
import os
import platform
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from importlib import metadata
from pathlib import Path

import click

from forkproxy import __version__, developer, logs
from forkproxy.errors import ConfigError, ForkproxyError, InputError, Problem

log = logging.getLogger(__name__)

FLOW_KEYS = frozenset({"states", "initial_state"})
"""What makes a document a flow."""

FILE = click.Path(path_type=Path)


def _print_version(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    if not value or context.resilient_parsing:
        return
    click.echo(f"forkproxy {__version__}")
    click.echo(f"PJSIP {_pjsip_version()}")
    click.echo(f"Python {platform.python_version()}")
    context.exit()


def _pjsip_version() -> str:
    """PJSIP's version as the loaded library says, or why it cannot be loaded."""
    try:
        package = metadata.version("pjsua2-python")
    except metadata.PackageNotFoundError:
        return "is not installed (the package is pjsua2-python)"
    try:
        from forkproxy import signalling  # noqa: F401
    except (ImportError, ForkproxyError) as error:
        return f"of pjsua2-python {package} cannot be loaded: {error}"
    return f"{package.partition('.post')[0]} (pjsua2-python {package})"


class Commands(click.Group):
    """Our commands, and those that installed packages offer by entry points in the group
    `forkproxy.commands`.

    A package's command is imported when it is called; one that cannot be imported says so then, and costs no
    other.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        offered = {point.name for point in metadata.entry_points(group="forkproxy.commands")}
        return sorted({*super().list_commands(ctx), *offered})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        ours = super().get_command(ctx, cmd_name)
        points = metadata.entry_points(group="forkproxy.commands", name=cmd_name)
        if ours is not None or not points:
            return ours
        point = next(iter(points))
        try:
            command = point.load()
        except Exception as error:  # somebody else's package
            package = point.dist.name if point.dist is not None else point.value
            help_ = f"Unusable: {package}: {type(error).__name__}: {error}"
            return click.Command(cmd_name, callback=lambda: _fail(help_), help=help_)
        return command if isinstance(command, click.Command) else None


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_print_version,
    help="Print the versions of forkproxy, PJSIP and Python.",
)
def main() -> None:
    """A SIP proxy that forks live call audio to WebSocket servers and other connectors."""


@main.command()
@click.argument("config", type=FILE)
def serve(config: Path) -> None:
    """Take calls as the file CONFIG says.

    Prints one line that starts with "forkproxy ready" on standard output when it can take calls, and logs
    to standard error. SIGTERM or Ctrl-C ends it when the running calls have ended, or after the grace time; a
    second one at once.
    """
    from forkproxy import config as configuration

    _keep_standard_descriptors()
    try:
        loaded = configuration.load(config)
    except ConfigError as error:
        _show(error.problems, error=True)
        _fail(f"{config} cannot be used: {_tally(error.problems)}")
    logs.setup(loaded.log.level, loaded.log.format, secrets=loaded.secrets())
    try:
        from forkproxy.serve import run

        run(loaded, config)
    except (ForkproxyError, ImportError) as error:
        logs.shutdown()
        _fail(f"cannot start: {error}")
    finally:
        logs.shutdown()


@main.command()
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=FILE)
@click.option("--strict", is_flag=True, help="Let warnings count as errors.")
def check(files: Sequence[Path], strict: bool) -> None:
    """Check configurations and flows, and print every mistake with its file, line and path.

    A configuration is checked together with the flows that it names. The exit status is 1 if there are
    errors.
    """
    problems: dict[Problem, None] = {}
    for file in files:
        problems |= dict.fromkeys(_check(file))
    _show(problems)
    click.echo(f"{len(files)} {'file' if len(files) == 1 else 'files'} checked: {_tally(problems)}")
    if any(strict or not problem.warning for problem in problems):
        sys.exit(1)


def _check(file: Path) -> Sequence[Problem]:
    """The problems of one file, whichever it is."""
    from forkproxy import config as configuration
    from forkproxy import document, flow

    problems: list[Problem] = []
    try:
        loaded = document.load(file, problems=problems)
    except InputError as error:
        return error.problems
    keys = set(loaded.data) if isinstance(loaded.data, dict) else set()
    if keys & FLOW_KEYS and "flows" not in keys:
        return flow.check(file)
    if keys & set(configuration.Config.model_fields):
        return configuration.check(file)
    return [
        *problems,
        loaded.problem((), "is neither a configuration (flows, sip, ...) nor a flow (states, ...)"),
    ]


@main.command()
@click.argument("config", type=FILE, required=False)
@click.option("--presets", is_flag=True, help="List the named sets of settings that the types offer.")
def connectors(config: Path | None, presets: bool) -> None:
    """List the connector types that are installed; with CONFIG, also the instances that it defines."""
    from forkproxy import config as configuration
    from forkproxy.connectors import installed

    found = installed()
    if presets:
        for each in found:
            for preset in each.connector.presets() if each.connector is not None else ():
                click.echo(f"{each.type}  {preset.name}  ({preset.package})")
                click.echo(f"    {(preset.error and f'unusable: {preset.error}') or preset.title}")
                if preset.source:
                    click.echo(f"    source: {preset.source}")
                for name, value in preset.settings.items():
                    click.echo(f"    {name}: {json.dumps(value, ensure_ascii=False)}")
        return
    _table(
        ("TYPE", "PACKAGE", "VERSION", ""),
        [
            (each.type, each.package, each.version, f"unusable: {each.error}" if each.error else "")
            for each in found
        ],
        "no connector is installed; pip install forkproxy-websocket is the first to have",
    )
    if config is None:
        return
    try:
        instances, problems = configuration.instances(config)
    except ConfigError as error:
        _show(error.problems, error=True)
        _fail(f"{config} cannot be used: {_tally(error.problems)}")
    click.echo()
    _table(
        ("INSTANCE", "TYPE", ""),
        [
            (name, instance.type, "" if instance.document else "always there")
            for name, instance in sorted(instances.items())
        ],
        f"{config} defines no connector",
    )
    if problems:
        click.echo()
        _show(problems)
    if any(not problem.warning for problem in problems):
        sys.exit(1)


@main.command()
@click.option(
    "--out",
    default="demo-out",
    type=FILE,
    show_default=True,
    help="The folder for the page and what it is made of.",
)
@click.option(
    "--seconds",
    default=6.0,
    type=float,
    show_default=True,
    help="How long caller and callee talk to each other.",
)
def demo(out: Path, seconds: float) -> None:
    """Fork a call on this machine, with nothing else, and show what arrived.

    Two phones talk through a real `forkproxy serve`, and both sides stream to a local server. The page shows
    both tracks, every message, the SIP of the call, and whether it all was as it should be.
    """
    from forkproxy.demo.main import run

    sys.exit(run(out, seconds))


@main.command()
@click.argument("file", type=FILE)
@click.option("--full", is_flag=True, help="Show each message below its arrow.")
def trace(file: Path, full: bool) -> None:
    """Draw the SIP of FILE as a ladder: a trace of forkproxy's, or any pcap file with SIP over UDP."""
    from forkproxy.control import ladder, pcap

    try:
        packets = list(pcap.read(file.read_bytes()))
    except (OSError, pcap.PcapError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        _fail(f"{file} {'cannot be read: ' if isinstance(error, OSError) else ''}{reason}")
    click.echo(ladder.draw(ladder.rungs(packets), whole=full), nl=False)


for _command in (developer.consume, developer.record, developer.replay):
    main.add_command(_command)


def _keep_standard_descriptors() -> None:
    """Where 0, 1 or 2 is closed, the next socket would get that number, and a phone what is printed."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number, which is this one


def _show(problems: Iterable[Problem], *, error: bool = False) -> None:
    for problem in problems:
        click.echo(str(problem), err=error)


def _tally(problems: Iterable[Problem]) -> str:
    """``2 errors, 1 warning``."""
    count = Counter("warning" if problem.warning else "error" for problem in problems)
    parts = [
        f"{count[kind]} {kind}{'' if count[kind] == 1 else 's'}"
        for kind in ("error", "warning")
        if count[kind]
    ]
    return ", ".join(parts) or "no problems"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], none: str) -> None:
    if not rows:
        click.echo(none)
        return
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    for row in (head, *rows):
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _fail(message: str) -> None:
    """One clear line on standard error, and exit status 1."""
    click.echo(f"forkproxy: {message}", err=True)
    sys.exit(1)
