"""The prompt of a widget: what can be played, and what cannot."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from forkproxy.flow.liquid import Template
from forkproxy.flow.widgets.base import Site, Step


def check_play(site: Site, play: Template) -> None:
    """Report what is wrong with the property `play`, as far as it is literal."""
    url = play.source.strip()
    if not play.literal or not play.source:
        return
    at = ("properties", "play")
    scheme = urlsplit(url).scheme.lower() if "://" in url or url.lower().startswith("file:") else ""
    if scheme in ("http", "https"):
        if not urlsplit(url).hostname:
            site.error("is not a URL with a host", *at)
    elif scheme in ("file", ""):
        path = Path(unquote(urlsplit(url).path)) if scheme else site.folder / url
        if not path.is_file():
            site.error(f"there is no file {path}", *at)
    else:
        site.error(f"'{scheme}://' cannot be played: http, https, file, or a path next to the flow", *at)


def check_not_play(site: Site, name: str) -> None:
    """Report a property that Studio has in the place of `play`."""
    site.not_yet("is a property that forkproxy does not run yet: use 'play'", "properties", name, key=True)


def play_url(step: Step, play: Template) -> str | None:
    """The URL of the prompt; None, with a warning: there is nothing that may be played."""
    url = step.text(play, "play")
    if url is None:
        step.warn(None, "nothing is played: 'play' came out empty")
        return None
    if url.lower().startswith(("http://", "https://", "file:")):
        return url
    if "\0" in url or (".." in PurePosixPath(url).parts and not play.literal):
        # what a caller sent must not choose a file outside of the author's folder
        step.warn(None, f"nothing is played: '{url[:100]}' leads out of the flow's folder")
        return None
    return (step.folder / url).absolute().as_uri()
