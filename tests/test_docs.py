"""The documentation tells the truth: every key, command, option and metric is in it, its links lead
somewhere, and its examples work."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import click
import pytest
import trustme
import yaml
from pydantic import BaseModel

from forkproxy import config as configuration
from forkproxy import document, flow
from forkproxy.cli import main
from forkproxy.config import Config
from forkproxy.control.metrics import FAMILIES, HISTOGRAMS, METRICS, TRUNKS, exposed_name
from tests.support import audio
from tests.support.processes import Process, bound, free_ports, until
from tests.support.proxy import Proxy
from tests.support.sip import Phone
from tests.support.talk import ALICE_HZ, BOB_HZ, conversation

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("plugins/*/*.md"),
        *ROOT.glob("examples/**/*.md"),
    ]
)
CONFIGURATION = (ROOT / "docs/configuration.md").read_text()
OPERATIONS = (ROOT / "docs/operations.md").read_text()
README = (ROOT / "README.md").read_text()

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ +(.+?)\s*$", re.MULTILINE)


def blocks(text: str, language: str) -> list[str]:
    return [body for kind, body in _BLOCK.findall(text) if kind == language]


def keys(model: type[BaseModel] = Config, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every key of the configuration, dotted, with its field."""
    for name, field in model.model_fields.items():
        path = f"{prefix}{field.alias or name}"
        nested = [each for each in (field.annotation, *get_args(field.annotation)) if _is_section(each)]
        if nested:
            yield from keys(nested[0], f"{path}.")
        else:
            yield path, field


def _is_section(annotation: object) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


KEYS = dict(keys())


def rows(text: str) -> dict[str, list[str]]:
    """The tables' rows by what stands in their first cell."""
    cells = [
        [cell.strip() for cell in line.strip("|").split(" | ")]
        for line in text.splitlines()
        if line.startswith("| `")
    ]
    return {row[0].strip("`"): row for row in cells}


def written(value: Any) -> str:
    """A default as the page writes it."""
    match value:
        case None | bool():
            return json.dumps(value)
        case float():
            return f"{value:g}"
        case tuple() if not hasattr(value, "_fields"):
            return "[" + ", ".join(map(str, value)) + "]"
    return str(value)


@pytest.mark.parametrize("key", KEYS)
def test_every_key_is_documented_with_its_default(key: str) -> None:
    assert key in rows(CONFIGURATION)
    cell = rows(CONFIGURATION)[key][2]
    assert cell == "required" if KEYS[key].is_required() else f"`{written(KEYS[key].get_default())}`"


def test_no_key_is_documented_that_does_not_exist() -> None:
    documented = {key for key in rows(CONFIGURATION) if key.split(".")[0] in Config.model_fields}
    assert documented == set(KEYS)


def test_the_example_configuration_has_every_key() -> None:
    data = document.load(ROOT / "examples/forkproxy.yaml").data
    found = set()
    for section, value in data.items():
        found |= set(_named(section, value)) & set(KEYS)
    assert found == set(KEYS)


def _named(path: str, value: Any) -> Iterator[str]:
    """The dotted keys of a document's part."""
    yield path
    for entry in value if isinstance(value, list) else [value]:
        for key, inner in entry.items() if isinstance(entry, dict) else ():
            yield from _named(f"{path}.{key}", inner)


@pytest.mark.parametrize("name", main.commands)
def test_every_command_and_option_is_documented(name: str) -> None:
    assert f"`forkproxy {name}" in OPERATIONS
    row = next(line for line in OPERATIONS.splitlines() if line.startswith(f"| `forkproxy {name}"))
    for parameter in main.commands[name].params:
        for option in parameter.opts if isinstance(parameter, click.Option) else ():
            assert f"`{option}" in row


def test_the_version_option_is_documented() -> None:
    assert "`forkproxy --version`" in OPERATIONS


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_is_documented(name: str) -> None:
    row = rows(OPERATIONS)[exposed_name(name)]
    assert row[1:] == [METRICS[name].kind, METRICS[name].help]


@pytest.mark.parametrize("family", list(FAMILIES.values()), ids=lambda family: family.name)
def test_every_labelled_metric_is_documented(family: Any) -> None:
    row = rows(OPERATIONS)[f"forkproxy_{family.name}_total{{{family.label}=}}"]
    assert row[1:] == ["counter", family.help]


@pytest.mark.parametrize("name", TRUNKS)
def test_every_figure_of_the_trunks_is_documented(name: str) -> None:
    total = "_total" if TRUNKS[name].kind == "counter" else ""
    row = rows(OPERATIONS)[f"forkproxy_{name}{total}{{trunk=}}"]
    assert row[1:] == [TRUNKS[name].kind, TRUNKS[name].help]


@pytest.mark.parametrize("name", HISTOGRAMS)
def test_every_histogram_is_documented(name: str) -> None:
    assert rows(OPERATIONS)[f"forkproxy_{name}"][1:] == ["histogram", HISTOGRAMS[name]]


def test_no_metric_is_documented_that_does_not_exist() -> None:
    documented = {name.partition("{")[0] for name in rows(OPERATIONS) if name.startswith("forkproxy_")}
    families = {f"forkproxy_{family.name}_total" for family in FAMILIES.values()}
    histograms = {f"forkproxy_{name}" for name in HISTOGRAMS}
    trunks = {
        f"forkproxy_{name}{'_total' if metric.kind == 'counter' else ''}" for name, metric in TRUNKS.items()
    }
    assert documented == {exposed_name(name) for name in METRICS} | families | histograms | trunks


# Links


def slug(heading: str) -> str:
    """A heading's anchor, as code forges make it."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)|[`*]", r"\1", heading)
    return re.sub(r"[^\w\- ]", "", text.lower()).strip().replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = _BLOCK.sub("", page.read_text())
    for link in _LINK.findall(text):
        target, _, anchor = link.partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        file = (page.parent / target).resolve() if target else page
        assert file.exists(), f"{page.name}: {link}"
        assert ROOT in file.parents, f"{page.name}: {link} leads out of the project"
        if anchor:
            anchors = {slug(heading) for heading in _HEADING.findall(_BLOCK.sub("", file.read_text()))}
            assert anchor in anchors, f"{page.name}: {link}"


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached, wanted = {ROOT / "README.md"}, [ROOT / "README.md"]
    while wanted:
        page = wanted.pop()
        for link in _LINK.findall(_BLOCK.sub("", page.read_text())):
            file = (page.parent / link.partition("#")[0]).resolve()
            if file.suffix == ".md" and file.exists() and file not in reached:
                reached.add(file)
                wanted.append(file)
    assert {page for page in PAGES if ROOT / "docs" in page.parents} <= reached


# Examples


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_code_blocks_can_be_read(page: Path) -> None:
    text = page.read_text()
    for body in blocks(text, "yaml"):
        assert list(yaml.compose_all(re.sub(r"\$\{(\w+)\}", r"\1", body)))
    for body in blocks(text, "json"):
        for line in body.splitlines() if body.startswith("{") and "\n}" not in body else [body]:
            json.loads(line)
    for body in blocks(text, "python"):
        compile(body, str(page), "exec", flags=0x2000)  # ast.PyCF_ALLOW_TOP_LEVEL_AWAIT


def whole_configurations() -> Iterator[str]:
    """Every YAML block of the page on configuration, with a flow if it has none."""
    for body in blocks(CONFIGURATION, "yaml"):
        yield body if body.startswith("flows:") else f"{body}\nflows: {{default: flow.yaml}}\n"


@pytest.fixture
def readme(tmp_path: Path) -> Path:
    """The three files of the README's example."""
    config, its_flow = blocks(README, "yaml")
    (consumer,) = blocks(README, "python")
    (tmp_path / "forkproxy.yaml").write_text(config)
    (tmp_path / "flow.yaml").write_text(its_flow)
    (tmp_path / "consumer.py").write_text(consumer)
    return tmp_path


@pytest.mark.parametrize("text", list(whole_configurations()))
def test_the_configurations_examples_pass_check(readme: Path, text: str) -> None:
    (readme / "flows").mkdir()
    for name in ("flow.yaml", "flows/incoming.json", "flows/support.yaml"):
        shutil.copy(ROOT / "examples/flows" / f"fork-for-processing{Path(name).suffix}", readme / name)
    authority = trustme.CA()
    authority.cert_pem.write_to_path(readme / "our-ca.pem")
    ours = authority.issue_cert("sip.example.com")
    ours.cert_chain_pems[0].write_to_path(readme / "fullchain.pem")
    ours.private_key_pem.write_to_path(readme / "privkey.pem")
    (readme / "forkproxy.yaml").write_text(text)
    environ = {"CARRIER_PASSWORD": "p", "FORKPROXY_AUTH_TOKEN": "t"}
    assert configuration.check(readme / "forkproxy.yaml", environ) == []


def test_the_whole_example_passes_check() -> None:
    environ = {"CARRIER_USERNAME": "u", "CARRIER_PASSWORD": "p"}
    assert [
        each for each in configuration.check(ROOT / "examples/forkproxy.yaml", environ) if not each.warning
    ] == []


@pytest.mark.parametrize("path", sorted((ROOT / "examples/flows").iterdir()), ids=lambda path: path.name)
def test_the_example_flows_pass_check(path: Path) -> None:
    assert [problem for problem in flow.check(path) if not problem.warning] == []


def test_the_readmes_example_passes_check(readme: Path) -> None:
    assert configuration.check(readme / "forkproxy.yaml", {}) == []


async def test_the_readmes_example_forks_a_call(readme: Path) -> None:
    """All three files as they stand there, but for the ports and Bob's address."""
    (port,) = free_ports(1)
    consumer = (readme / "consumer.py").read_text().replace("8765", str(port))
    (readme / "consumer.py").write_text(consumer)
    server = Process("consumer", [sys.executable, "consumer.py"], readme)
    try:
        async with Phone("alice") as alice, Phone("bob") as bob:
            text = (readme / "flow.yaml").read_text()
            text = text.replace("8765", str(port)).replace("sip:bob@192.168.0.20", bob.uri)
            config = document.load(readme / "forkproxy.yaml").data
            (readme / "flow.yaml").write_text(text)
            its_flow = document.load(readme / "flow.yaml").data
            await until(lambda: bound(port, "tcp"), timeout=10, what=server.describe)
            async with (
                Proxy(
                    readme / "proxy", its_flow, config={key: config[key] for key in ("trunks", "streams")}
                ) as proxy,
                conversation(proxy, alice, bob) as talking,
            ):
                await asyncio.sleep(1)
                await talking.hush()
                await talking.alice.hang_up()
                await talking.bob.request("BYE")
                await proxy.idle()
    finally:
        server.kill()
    for track, wanted, other in (("inbound", ALICE_HZ, BOB_HZ), ("outbound", BOB_HZ, ALICE_HZ)):
        samples = audio.decode((readme / f"{track}.ulaw").read_bytes())
        assert audio.level(samples, wanted) > 20 * audio.level(samples, other), track
