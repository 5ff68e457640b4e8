"""How a connector says which settings it has, and what paths in settings mean."""

from __future__ import annotations

import types
from pathlib import Path
from typing import Generic, TypeVar

import pydantic
import pytest

from forkproxy.connectors.api import ConfigPath, Connector, Settings, Stream


class Colours(Settings):
    colour: str = "red"
    file: ConfigPath = Path("a.txt")


class Painter(Connector[Colours]):
    async def stream(self, stream: Stream) -> None:
        assert self.settings.colour


def test_the_model_in_the_brackets_is_the_settings_model() -> None:
    assert Painter.settings_type is Colours


def test_a_subclass_keeps_the_model() -> None:
    class Finer(Painter):
        pass

    assert Finer.settings_type is Colours


def test_a_connector_without_settings_has_the_empty_model() -> None:
    class Plain(Connector[Settings]):
        async def stream(self, stream: Stream) -> None: ...

    class Bare(Connector):  # type: ignore[type-arg]
        async def stream(self, stream: Stream) -> None: ...

    assert Plain.settings_type is Settings
    assert Bare.settings_type is Settings


def test_a_generic_base_class_leaves_the_choice_to_its_subclasses() -> None:
    T = TypeVar("T", bound=Settings)

    class Base(Connector[T], Generic[T]):
        async def stream(self, stream: Stream) -> None: ...

    class Leaf(Base[Colours]):
        pass

    assert Base.settings_type is Settings
    assert Leaf.settings_type is Colours


@pytest.mark.parametrize(
    ("argument", "message"), [(int, "not a subclass of Settings"), ("Later", "above it")]
)
def test_anything_else_in_the_brackets_is_refused_where_it_is_written(argument: object, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        types.new_class("Wrong", (Connector[argument],))  # type: ignore[misc]


def test_settings_are_frozen_and_refuse_unknown_keys() -> None:
    with pytest.raises(pydantic.ValidationError, match="frozen"):
        Colours().colour = "blue"  # type: ignore[misc]
    with pytest.raises(pydantic.ValidationError, match="extra"):
        Colours.model_validate({"color": "blue"})


def test_a_relative_path_starts_at_the_configuration() -> None:
    context = {"folder": Path("/etc/forkproxy")}
    assert Colours.model_validate({"file": "ca.pem"}, context=context).file == Path("/etc/forkproxy/ca.pem")
    assert Colours.model_validate({"file": "/ca.pem"}, context=context).file == Path("/ca.pem")
    assert Colours.model_validate({"file": "ca.pem"}).file == Path("ca.pem")


def test_a_path_in_the_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    context = {"folder": Path("/etc/forkproxy")}
    assert Colours.model_validate({"file": "~/ca.pem"}, context=context).file == Path("/home/somebody/ca.pem")
    with pytest.raises(pydantic.ValidationError, match="home"):
        Colours.model_validate({"file": "~nobody-of-that-name/ca.pem"})
