"""Presets: settings that suit a recorder, as data files; other packages may bring more.

A package offers presets by an entry point in the group ``forkproxy.siprec_presets`` whose value is the name
of one of its own packages (``acme_presets``); each ``*.yaml`` file in it is a preset of the file's name::

    title: Acme Recorder 7
    source: https://acme.example/siprec, section 3
    settings: {labels: {inbound: caller, outbound: agent}, bye: complete}
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from difflib import get_close_matches
from importlib.metadata import entry_points
from importlib.resources import files

import yaml

from forkproxy.connectors.api import Preset

GROUP = "forkproxy.siprec_presets"


@functools.cache
def presets() -> dict[str, Preset]:
    """All that are installed, by name, our own first; two of one name are an error of that name."""
    found: dict[str, Preset] = {}
    for preset in [*_read("forkproxy_siprec.presets_data", "forkproxy-siprec"), *_others()]:
        if preset.name in found:
            why = f"{found[preset.name].package} and {preset.package} both offer it"
            preset = Preset(preset.name, preset.title, preset.source, preset.package, {}, why)
        found[preset.name] = preset
    return found


def find(name: str) -> Preset:
    """The preset of that name.

    Raises:
        ValueError: there is none, or it cannot be used.
    """
    preset = presets().get(name)
    if preset is None:
        close = get_close_matches(name, presets(), n=1)
        hint = f"; did you mean {close[0]!r}?" if close else f"; there are {', '.join(sorted(presets()))}"
        raise ValueError(f"no preset is named {name[:60]!r}{hint}")
    if preset.error is not None:
        raise ValueError(f"the preset {name!r} cannot be used: {preset.error}")
    return preset


def _others() -> Iterator[Preset]:
    for point in entry_points(group=GROUP):
        package = point.dist.name if point.dist is not None else point.value
        try:
            yield from _read(point.value, package)
        except Exception as error:  # somebody else's package: it must not cost us ours
            yield Preset(point.name, "", "", package, {}, f"{type(error).__name__}: {error}")


def _read(module: str, package: str) -> Iterator[Preset]:
    for file in sorted(files(module).iterdir(), key=lambda each: each.name):
        if not file.name.endswith(".yaml"):
            continue
        name = file.name.removesuffix(".yaml")
        try:
            data = yaml.safe_load(file.read_text(encoding="utf-8"))
            settings = data.get("settings") or {}
            if not isinstance(settings, dict) or set(data) - {"title", "source", "settings"}:
                raise ValueError("a preset has title, source and settings, and nothing else")
            yield Preset(name, str(data["title"]), str(data["source"]), package, settings)
        except Exception as error:
            yield Preset(name, "", "", package, {}, f"{type(error).__name__}: {error}")
