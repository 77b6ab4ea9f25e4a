"""``import unmask``: nothing heavy is loaded, every name is there, and type checkers see the same names."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import unmask


def test_importing_and_looking_around_loads_nothing_heavy() -> None:
    code = "import sys, unmask; dir(unmask); unmask.UserError; unmask.Stopped; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert not {"torch", "numpy", "pydantic", "rich", "typer", "tokenizers"} & set(done.stdout.split())


@pytest.mark.parametrize("name", unmask.__all__)
def test_every_name_is_there_under_its_own_name(name: str) -> None:
    found = getattr(unmask, name)
    assert isinstance(found, str) or found.__name__ == name
    assert isinstance(found, str) or found.__doc__


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'unmask' has no attribute 'pretrian'"):
        unmask.pretrian  # noqa: B018


def test_type_checkers_are_told_the_same_names_from_the_same_places() -> None:
    tree = ast.parse(Path(unmask.__file__).read_text(encoding="utf-8"))
    [checked] = [node for node in tree.body if isinstance(node, ast.If)]
    told = {name.name: node.module for node in checked.body if isinstance(node, ast.ImportFrom) for name in node.names}
    assert told == unmask._FRONT_DOOR
    assert sorted([*told, "__version__"]) == dir(unmask) == unmask.__all__
