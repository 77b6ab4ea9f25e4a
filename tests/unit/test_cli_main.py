"""The command's frame: which command, which exit code, and how little is loaded to say so."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Annotated

import pytest
import typer

import unmask
from unmask.cli import main as cli
from unmask.errors import CheckFailed, SettingError, Stopped

HEAVY = {"torch", "pydantic", "sklearn", "numpy", "scipy", "pyarrow", "matplotlib"}


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return a module that stands in for the commands; a function set on it is a command of that name."""
    module = ModuleType("stand_in")
    monkeypatch.setitem(sys.modules, "stand_in", module)
    monkeypatch.setattr(
        cli, "COMMANDS", {"pretrain": cli.Command("stand_in", "Train"), "corpus": cli.Command("stand_in", "Text")}
    )
    return module


@pytest.mark.parametrize("arguments", [["--help"], [], ["--version"], ["pretrian"]])
def test_the_frame_loads_nothing_heavy(arguments: list[str]) -> None:
    code = f"import sys\nfrom unmask.cli.main import main\nmain({arguments!r})\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert not HEAVY & set(done.stdout.split())


def test_python_m_unmask_prints_the_version() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "unmask", "--version"], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == f"unmask {unmask.__version__}\n"


def test_help_names_every_command_within_80_columns(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    for name, command in cli.COMMANDS.items():
        assert any(line.split(maxsplit=1) == [name, command.help] for line in lines)


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_listed_is_there(name: str) -> None:
    command = cli.COMMANDS[name]
    assert find_spec(command.module), f"{command.module} does not exist"
    assert callable(getattr(import_module(command.module), command.function or name))


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["pretrian"], "unmask: there is no command 'pretrian'; did you mean 'pretrain'?\n"),
        (["--verson"], "unmask: there is no option '--verson'; did you mean '--version'?\n"),
        (["zzz"], "unmask: there is no command 'zzz'; unmask --help lists them all\n"),
    ],
)
def test_an_unknown_command_is_answered_with_the_nearest(
    arguments: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(arguments) == 2
    assert capsys.readouterr() == ("", line)


@pytest.mark.parametrize(
    ("raised", "code", "line"),
    [
        (SettingError("save_every must be at least 1, got 0"), 2, "unmask: save_every must be at least 1, got 0\n"),
        (CheckFailed("worse than the baseline"), 1, "unmask: worse than the baseline\n"),
        (Stopped("stopped at step 120"), 75, "unmask: stopped at step 120\n"),
        (ModuleNotFoundError("No module named 'torch.nn'", name="torch.nn"), 2,
         "unmask: this needs torch, which is not installed: pip install 'unmask[train]'\n"),
        (KeyboardInterrupt(), 130, ""),
        (typer.Exit(1), 1, ""),
    ],
)  # fmt: skip
def test_what_is_raised_becomes_an_exit_code(
    raised: BaseException, code: int, line: str, commands: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    def pretrain() -> None:
        raise raised

    commands.pretrain = pretrain  # type: ignore[attr-defined]
    assert cli.main(["pretrain"]) == code
    assert capsys.readouterr() == ("", line)


@pytest.mark.parametrize("raised", [ZeroDivisionError("ours"), ModuleNotFoundError("ours", name="unmask.nowhere")])
def test_a_bug_of_ours_shows_its_trace_and_exits_with_3(
    raised: Exception, commands: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    def pretrain() -> None:
        raise raised

    commands.pretrain = pretrain  # type: ignore[attr-defined]
    assert cli.main(["pretrain"]) == 3
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--steps", "many"], "Invalid value for '--steps'"),
        (["--stpes", "3"], "No such option: --stpes"),
        (["one", "two"], "Got unexpected extra argument"),
    ],
)
def test_a_wrong_argument_is_answered_in_one_line(
    arguments: list[str], part: str, commands: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    def pretrain(name: str = "x", steps: Annotated[int, typer.Option()] = 1) -> None:
        """Train."""

    commands.pretrain = pretrain  # type: ignore[attr-defined]
    assert cli.main(["pretrain", *arguments]) == 2
    out, err = capsys.readouterr()
    assert not out
    assert err.startswith(f"unmask: {part}")
    assert err.endswith("; see unmask pretrain --help\n")
    assert err.count("\n") == 1


def test_a_command_and_a_group_of_commands_get_their_words(
    commands: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    def pretrain(recipe: Path, steps: int = 1) -> None:
        print(recipe, steps)  # noqa: T201

    corpus = typer.Typer()
    corpus.command("build")(pretrain)
    corpus.command("show")(lambda: None)
    commands.pretrain, commands.corpus = pretrain, corpus  # type: ignore[attr-defined]
    assert cli.main(["pretrain", "a.yaml", "--steps", "3"]) == 0
    assert cli.main(["corpus", "build", "b.yaml"]) == 0
    assert capsys.readouterr().out == "a.yaml 3\nb.yaml 1\n"
