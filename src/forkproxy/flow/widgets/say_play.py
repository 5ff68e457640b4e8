"""Say/Play: audio for the caller (twilio.com/docs/studio/widget-library/sayplay)."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Annotated, ClassVar
from urllib.parse import unquote, urlsplit

from pydantic import Field

from forkproxy.flow.actions import Play
from forkproxy.flow.definition import Properties
from forkproxy.flow.events import FlowEvent, PlayEnded
from forkproxy.flow.liquid import Template
from forkproxy.flow.widgets.base import EMPTY, Goto, Site, Step, Widget


class SayPlayProperties(Properties):
    """The properties of Say/Play; exactly one of `say`, `play` and `digits` is given."""

    hints: ClassVar[dict[str, str]] = {"text": "say", "message": "say", "url": "play", "loops": "loop"}

    say: Template = EMPTY
    play: Template = EMPTY
    digits: Template = EMPTY
    voice: Template = EMPTY
    language: Template = EMPTY
    loop: Annotated[int, Field(ge=1, le=99)] = 1


class SayPlay(Widget[SayPlayProperties]):
    """Plays a WAV file and goes on when it has been heard."""

    type_name: ClassVar[str] = "say-play"
    events: ClassVar[tuple[str, ...]] = ("audioComplete",)
    properties_model: ClassVar[type[Properties]] = SayPlayProperties

    def check(self, site: Site) -> None:
        given = self.properties
        used = [name for name in ("say", "play", "digits") if getattr(given, name).source]
        if len(used) != 1:
            found = f"; these are here: {', '.join(used)}" if used else ""
            site.error(f"must have exactly one of 'say', 'play' and 'digits'{found}", "properties")
        for name in used:
            if name != "play":
                site.not_yet(
                    "is a property that forkproxy does not run yet: use 'play'", "properties", name, key=True
                )
        if given.play.literal and given.play.source:
            self._check_play(site, given.play.source.strip())

    def _check_play(self, site: Site, url: str) -> None:
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

    def run(self, step: Step) -> Goto | Play:
        url = step.text(self.properties.play, "play")
        if url is None:
            step.warn(None, "nothing is played: 'play' came out empty")
            return self.follow("audioComplete")
        if url.lower().startswith(("http://", "https://", "file:")):
            return Play(self.name, url, self.properties.loop)
        if "\0" in url or (".." in PurePosixPath(url).parts and not self.properties.play.literal):
            # what a caller sent must not choose a file outside of the author's folder
            step.warn(None, f"nothing is played: '{url[:100]}' leads out of the flow's folder")
            return self.follow("audioComplete")
        return Play(self.name, (step.folder / url).absolute().as_uri(), self.properties.loop)

    def resume(self, step: Step, event: FlowEvent) -> Goto | None:
        if not isinstance(event, PlayEnded):
            return None
        if event.error is not None:
            step.warn(None, event.error)
        return self.follow("audioComplete")
