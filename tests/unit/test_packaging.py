"""What pyproject.toml promises and constraints.txt pins."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import unmask

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
PINS = [
    line for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines() if not line.startswith("#")
]
PINNED = {canonicalize_name(name): number for name, _, number in (line.partition("==") for line in PINS)}


@pytest.mark.parametrize(
    "requirement",
    sorted(
        {*PROJECT["dependencies"], *(line for extra in EXTRAS.values() for line in extra)}
        - {"unmask[export,segment,serve,track,train]"}
    ),
)
def test_every_requirement_is_pinned_to_a_version_that_it_allows(requirement: str) -> None:
    wanted = Requirement(requirement)
    assert PINNED[canonicalize_name(wanted.name)] in wanted.specifier


def test_constraints_are_plain_pins_in_order() -> None:
    assert [line for line in PINS if not re.fullmatch(r"[A-Za-z0-9.-]+==[0-9][0-9a-z.]*", line)] == []
    assert sorted(PINS, key=lambda line: line.partition("==")[0].lower()) == PINS
    assert len(PINNED) == len(PINS)


def test_the_core_needs_no_torch() -> None:
    core = {canonicalize_name(Requirement(line).name) for line in PROJECT["dependencies"]}
    assert core == {
        "huggingface-hub", "jinja2", "numpy", "pydantic", "pyyaml", "rich", "safetensors", "tokenizers", "typer",
    }  # fmt: skip
    assert "torch" not in {Requirement(line).name for line in EXTRAS["serve"] + EXTRAS["watch"]}


def test_the_installed_version_is_the_source_s() -> None:
    assert version("unmask") == unmask.__version__
