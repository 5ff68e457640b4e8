"""Packages with connectors as they are installed, good and bad, and what the configuration makes of them."""

from __future__ import annotations

import asyncio
import sys
import textwrap
from collections.abc import Iterator
from importlib.metadata import EntryPoint, distributions
from pathlib import Path

import pytest

from forkproxy.connectors import registry
from forkproxy.connectors.registry import GROUP, Registry, build, check, installed
from forkproxy.connectors.testing import HOST
from forkproxy.document import loads
from forkproxy.errors import ConfigError

CONNECTOR = """
    from pathlib import Path
    from forkproxy.connectors.api import ConfigPath, Connector, Settings, Stream

    class MySettings(Settings):
        folder: ConfigPath
        minutes: int = 5

    class Mine(Connector[MySettings]):
        def __init__(self, name, settings, host):
            super().__init__(name, settings, host)
            if settings.minutes > 60:
                raise ValueError("more than an hour")
            if settings.minutes < 0:
                raise RuntimeError("back to the past")

        async def stream(self, stream):
            stream.created()
"""


class Site:
    """A folder as ``site-packages``: distributions with a module each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def install(self, package: str, code: str, *points: str, version: str = "1.0") -> None:
        module = package.replace("-", "_")
        (self.folder / f"{module}.py").write_text(textwrap.dedent(code))
        info = self.folder / f"{module}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[{GROUP}]\n" + "\n".join(points) + "\n")

    def registry(self) -> Registry:
        points: list[EntryPoint] = []
        for distribution in sorted(distributions(path=[str(self.folder)]), key=lambda each: each.name):
            points += distribution.entry_points.select(group=GROUP)
        return Registry(points)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    yield Site(tmp_path)
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


def problems_of(site: Site, text: str) -> list[str]:
    _, problems = site.registry().read(loads(textwrap.dedent(text), "config.yaml"))
    return [str(problem) for problem in problems]


# What is installed.


def test_an_installed_connector_is_listed_with_its_package(site: Site) -> None:
    site.install("acme-forks", CONNECTOR, "mine = acme_forks:Mine", version="2.1")
    (found,) = site.registry().installed()
    assert (found.type, found.package, found.version) == ("mine", "acme-forks", "2.1")
    assert found.error is None
    assert found.connector is not None
    assert found.connector.__name__ == "Mine"
    assert found.source == "acme-forks 2.1 (acme_forks:Mine)"


def test_what_pip_has_installed_is_found() -> None:
    assert all(each.error is None for each in installed())


BROKEN = {
    "import": ("import no_such_module_anywhere", "cannot be imported: No module named"),
    "attribute": ("x = 1", "cannot be loaded: module 'bad' has no attribute 'Mine'"),
    "raises": ("raise RuntimeError('boom')", "failed while it was imported: RuntimeError: boom"),
    "exits": ("import sys; sys.exit('bye')", "failed while it was imported: SystemExit: bye"),
    "syntax": ("class", "failed while it was imported: SyntaxError"),
    "no class": ("Mine = 3", "is not a subclass of Connector but 3"),
    "other class": ("class Mine: pass", "is not a subclass of Connector but <class 'bad.Mine'>"),
    "settings": (
        CONNECTOR.replace("Connector[MySettings]", "Connector[int]"),
        "failed while it was imported: TypeError: Mine: <class 'int'> in the brackets",
    ),
    "settings by hand": (
        CONNECTOR + "\n    Mine.settings_type = dict",
        "has settings that are not a subclass of Settings but <class 'dict'>",
    ),
    "field type": (
        CONNECTOR.replace("minutes: int", "type: int"),
        "a field 'type', which is forkproxy's own",
    ),
    "no stream": (CONNECTOR.replace("def stream", "def steam"), "does not define stream()"),
    "no coroutine": (
        CONNECTOR.replace("async def stream", "def stream"),
        "has a method stream that is not a coroutine function (async def)",
    ),
    "generator": (
        CONNECTOR + "            yield 1\n",
        "has a method stream that is not a coroutine function (async def)",
    ),
    "init": (
        CONNECTOR.replace("def __init__(self, name, settings, host)", "def __init__(self)"),
        "cannot be made from (name, settings, host): too many positional arguments",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_connector_says_what_is_wrong_and_raises_nothing(site: Site, name: str) -> None:
    code, message = BROKEN[name]
    site.install("bad", code, "mine = bad:Mine")
    (found,) = site.registry().installed()
    assert found.connector is None
    assert message in str(found.error)


def test_a_broken_connector_that_nobody_uses_is_not_even_imported(site: Site) -> None:
    site.install("bad", "raise RuntimeError('imported')", "mine = bad:Mine")
    assert problems_of(site, "connectors: {}") == []
    assert "bad" not in sys.modules


def test_a_configured_broken_connector_fails_by_its_name(site: Site) -> None:
    site.install("bad", "import no_such_module_anywhere", "mine = bad:Mine", version="0.3")
    (problem,) = problems_of(
        site,
        """\
        connectors:
          Archive_1:
            folder: x
            type: mine
        """,
    )
    assert problem == (
        "config.yaml:4:11: #/connectors/Archive_1/type: the connector type 'mine' of bad 0.3 (bad:Mine) "
        "cannot be imported: No module named 'no_such_module_anywhere'"
    )


def test_one_type_from_two_packages(site: Site) -> None:
    site.install("acme-forks", CONNECTOR, "mine = acme_forks:Mine")
    site.install("other-forks", CONNECTOR, "mine = other_forks:Mine", version="9")
    found = site.registry().installed()
    assert [each.package for each in found] == ["acme-forks", "other-forks"]
    for each in found:
        assert "'mine' is offered by acme-forks 1.0 and other-forks 9; uninstall all but one" in str(
            each.error
        )
    (problem,) = problems_of(site, "connectors: {A: {type: mine, folder: x}}")
    assert "is ambiguous" in problem


def test_an_entry_point_without_a_distribution() -> None:
    (found,) = Registry([EntryPoint("ghost", "no_such_module_anywhere:X", GROUP)]).installed()
    assert found.package == "an unknown package"
    assert "cannot be imported" in str(found.error)


def test_loading_happens_once(site: Site) -> None:
    site.install("acme-forks", CONNECTOR, "mine = acme_forks:Mine")
    found = site.registry()
    assert found.load("mine") is found.load("mine")
    with pytest.raises(KeyError):
        found.load("theirs")


def test_check_accepts_what_the_api_describes() -> None:
    from tests.connectors.test_api import Painter

    assert check(Painter) is None


# What the configuration says.


def test_every_mistake_is_named_with_its_line(site: Site) -> None:
    site.install("acme-forks", CONNECTOR, "mine = acme_forks:Mine")
    assert problems_of(
        site,
        """\
        connectors:
          A: {type: mien, folder: x}
          B: {folder: x}
          C:
            type: mine
            folder: 3
            minuts: 9
          D: {type: mine}
          E: nothing
          F: {type: 5}
          G: {type: mine, folder: x, minutes: "5"}
          H: {type: mine, folder: x}
        """,
    ) == [
        "config.yaml:2:13: #/connectors/A/type: no installed package offers the connector type 'mien'"
        "; did you mean 'mine'?",
        "config.yaml:3:6: #/connectors/B/type: is missing but it is required",
        "config.yaml:6:13: #/connectors/C/folder: integer found, string expected",
        "config.yaml:7:5: #/connectors/C/minuts: is not a known property; did you mean 'minutes'?",
        "config.yaml:8:6: #/connectors/D/folder: is missing but it is required",
        "config.yaml:9:6: #/connectors/E: string found, object expected",
        "config.yaml:10:13: #/connectors/F/type: integer found, string expected",
        "config.yaml:11:39: #/connectors/G/minutes: string found, integer expected",
    ]


@pytest.mark.parametrize("text", ["other: 1", "connectors: {}"])
def test_no_connectors_is_no_mistake(site: Site, text: str) -> None:
    assert problems_of(site, text) == []


@pytest.mark.parametrize("text", ["connectors: []", "connectors: 7"])
def test_connectors_must_have_names(site: Site, text: str) -> None:
    (problem,) = problems_of(site, text)
    assert "object expected" in problem


def test_a_type_that_resembles_none_lists_what_there_is(site: Site) -> None:
    site.install("acme-forks", CONNECTOR, "mine = acme_forks:Mine", "yours = acme_forks:Mine")
    (problem,) = problems_of(site, "connectors: {A: {type: xxxxxxxxx}}")
    assert problem.endswith("'xxxxxxxxx'; installed: mine, yours")


def test_instances_are_made_with_their_settings(site: Site) -> None:
    site.install("acme-forks", CONNECTOR, "mine = acme_forks:Mine")
    found = site.registry()
    document = loads(
        "connectors: {A: {type: mine, folder: x}, B: {type: mine, folder: /y, minutes: 1}}", "/etc/f/c"
    )
    instances, problems = found.read(document)
    assert problems == []
    built = found.build(instances, HOST)
    assert list(built) == ["A", "B"]
    assert (built["A"].name, built["A"].host) == ("A", HOST)
    assert built["A"].settings.folder == Path("/etc/f/x")
    assert built["B"].settings.folder == Path("/y")
    assert built["B"].settings.minutes == 1
    assert repr(built["A"].settings) == "MySettings(folder=PosixPath('/etc/f/x'), minutes=5)"


def test_connectors_that_cannot_start_are_named_all(site: Site) -> None:
    site.install("acme-forks", CONNECTOR, "mine = acme_forks:Mine")
    found = site.registry()
    text = "connectors:\n  A: {type: mine, folder: x, minutes: 61}\n  B: {type: mine, folder: x, minutes: -1}"
    instances, problems = found.read(loads(text, "c.yaml"))
    assert problems == []
    with pytest.raises(ConfigError) as caught:
        found.build(instances, HOST)
    assert [str(problem) for problem in caught.value.problems] == [
        "c.yaml:2:3: #/connectors/A: the connector cannot start: more than an hour",
        "c.yaml:3:3: #/connectors/B: the connector cannot start: RuntimeError: back to the past",
    ]


# The instance that nobody configures.

WEBSOCKET = CONNECTOR.replace("folder: ConfigPath", "folder: ConfigPath = Path('here')")


def test_a_websocket_instance_is_there_by_itself(site: Site) -> None:
    site.install("ws", WEBSOCKET, "websocket = ws:Mine")
    found = site.registry()
    instances, problems = found.read(loads("other: 1", "c.yaml"))
    assert problems == []
    assert list(found.build(instances, HOST)) == ["websocket"]


def test_a_configured_instance_of_that_name_replaces_it(site: Site) -> None:
    site.install("ws", WEBSOCKET, "websocket = ws:Mine", "mine = ws:Mine")
    text = "connectors: {websocket: {type: mine, folder: there}}"
    instances, problems = site.registry().read(loads(text, "c.yaml"))
    assert problems == []
    assert instances["websocket"].type == "mine"


def test_a_broken_websocket_package_that_nobody_configured_is_a_warning(site: Site) -> None:
    site.install("ws", "import no_such_module_anywhere", "websocket = ws:Mine")
    instances, (problem,) = site.registry().read(loads("other: 1", "c.yaml"))
    assert instances == {}
    assert problem.warning
    assert "cannot be imported" in problem.message


def test_an_implicit_instance_that_cannot_start_is_named_too(site: Site) -> None:
    site.install("ws", WEBSOCKET.replace("minutes: int = 5", "minutes: int = 99"), "websocket = ws:Mine")
    found = site.registry()
    instances, _ = found.read(loads("other: 1", "c.yaml"))
    with pytest.raises(
        ConfigError, match="connector websocket: #: the connector cannot start: more than an hour"
    ):
        found.build(instances, HOST)


# From plain values.


def test_building_from_plain_values(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.install("acme-forks", CONNECTOR, "mine = acme_forks:Mine")
    points = [point for each in distributions(path=[str(site.folder)]) for point in each.entry_points]
    monkeypatch.setattr(registry, "entry_points", lambda group: points)
    built = build({"A": {"type": "mine", "folder": "x"}}, HOST, folder=Path("/etc"))
    assert built["A"].settings.folder == Path("/etc/x")
    asyncio.run(built["A"].close())
    with pytest.raises(ConfigError, match="is missing but it is required"):
        build({"A": {"type": "mine"}}, HOST)
