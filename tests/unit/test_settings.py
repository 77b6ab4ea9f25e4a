"""Settings: where values come from, and the one line that each mistake gets."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
from pydantic import ValidationError

from unmask.errors import SettingError
from unmask.settings import Changes, Count, OpenShare, Positive, Settings, read_settings


class Engine(Settings):
    """A group."""

    kind: Literal["diesel", "steam"] = "steam"
    power: Positive = 1.5
    wheels: Count = 4
    slip: OpenShare = 0.1
    loud: bool = False
    spare: Count | None = None
    gears: tuple[OpenShare, OpenShare] = (0.1, 0.9)


class Train(Settings):
    """A recipe."""

    engine: Engine = Engine()
    name: str = "local"


def test_defaults_then_recipe_then_words(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("engine:\n  power: 3e-3\n  wheels: 6\n")
    read = read_settings(Train, recipe, ["engine.wheels=8", "engine.loud=true", "name=night express"], {"name": "x"})
    assert read == Train(engine=Engine(power=0.003, wheels=8, loud=True), name="night express")
    assert read_settings(Train) == Train()
    (tmp_path / "empty.yaml").write_text("")
    assert read_settings(Train, tmp_path / "empty.yaml") == Train()


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError):
        Train().name = "other"


@pytest.mark.parametrize(
    ("word", "line"),
    [
        ("engine.wheel=6", "unknown setting engine.wheel; did you mean 'wheels'?"),
        ("motor.wheels=6", "unknown setting motor"),
        ("engine.kind=petrol", "engine.kind must be one of 'diesel' or 'steam', got 'petrol'"),
        ("engine.power=0", "engine.power must be above 0, got 0"),
        ("engine.power=fast", "engine.power must be a number, got 'fast'"),
        ("engine.power=.nan", "engine.power must be above 0, got nan"),
        ("engine.wheels=0", "engine.wheels must be at least 1, got 0"),
        ("engine.wheels=2.5", "engine.wheels must be a whole number, got 2.5"),
        ("engine.slip=1", "engine.slip must be in (0, 1), got 1"),
        ("engine.spare=0", "engine.spare must be at least 1, got 0"),
        ("engine.gears=[0.5, 2]", "engine.gears.1 must be in (0, 1), got 2"),
        ("engine.loud=perhaps", "engine.loud must be true or false, got 'perhaps'"),
        ("engine=5", "engine is a group of settings, got 5; write engine.key=value"),
        ("name=[1, 2]", "name: input should be a valid string, got [1, 2]"),
        ("engine.wheels", "'engine.wheels' is not a setting; write group.key=value"),
        ("=3", "'=3' is not a setting; write group.key=value"),
    ],
)
def test_a_mistake_gets_one_line(word: str, line: str) -> None:
    with pytest.raises(SettingError) as caught:
        read_settings(Train, overrides=[word])
    assert str(caught.value) == line


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("engine: [", "recipe.yaml:1: is not YAML"),
        ("- engine", "a recipe is a mapping of groups, this is a list"),
        ("engine:\n  wheels: many", "engine.wheels must be a whole number, got 'many'"),
    ],
)
def test_a_broken_recipe_gets_one_line(tmp_path: Path, text: str, line: str) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(text)
    with pytest.raises(SettingError) as caught:
        read_settings(Train, recipe)
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_recipe_that_is_not_there_or_not_text(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="there is no such recipe"):
        read_settings(Train, tmp_path / "none.yaml")
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(SettingError, match="can not be read as a recipe"):
        read_settings(Train, tmp_path / "bytes.yaml")


@pytest.mark.parametrize(
    "changes",
    [
        {"engine.wheels": 8, "engine.power": 2, "name": "night"},
        {"engine": {"wheels": 8}, "engine.power": 2.0, "name": "night"},
        ["engine.wheels=8", "engine.power=2", "name=night"],
    ],
)
def test_python_changes_settings_by_key_as_words_do(changes: Changes) -> None:
    assert read_settings(Train, None, changes) == Train(engine=Engine(wheels=8, power=2.0), name="night")


def test_an_unknown_key_is_answered_with_the_nearest() -> None:
    with pytest.raises(SettingError, match=r"unknown setting engine\.wheel; did you mean 'wheels'\?"):
        read_settings(Train, None, {"engine.wheel": 6})
