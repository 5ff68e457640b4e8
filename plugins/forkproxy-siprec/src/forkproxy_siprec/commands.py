"""`forkproxy siprec ...`: for people who debug a recorder."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from forkproxy_siprec.lint import lint as findings_of


@click.group()
def siprec() -> None:
    """Tools for recording by SIPREC."""


@siprec.command()
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--strict", is_flag=True, help="Let warnings count as errors.")
def lint(files: Sequence[Path], strict: bool) -> None:
    """Check metadata (XML), SIP messages and captures (pcap, pcapng) of recording sessions, line by line.

    The schema of RFC 7865, and the rules of RFC 7865 and 7866 that it cannot say. The exit status is 1 if
    there are errors.
    """
    failed = False
    for file in files:
        try:
            findings = findings_of(file.read_bytes())
        except ImportError:
            click.echo("forkproxy: lint needs lxml: pip install 'forkproxy-siprec[lint]'", err=True)
            sys.exit(1)
        except (OSError, ValueError) as error:
            click.echo(f"{file}: {error}", err=True)
            failed = True
            continue
        for finding in findings:
            click.echo(f"{file}:{finding}")
            failed = failed or strict or not finding.warning
        if not findings:
            click.echo(f"{file}: no problems")
    sys.exit(1 if failed else 0)
