"""The command ``unmask``: finds the command that was asked for, loads that one alone, and turns errors into exit codes.

What bites: nothing heavy may be imported here; ``unmask --help`` loads neither torch nor numpy nor pydantic.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import NamedTuple

from unmask import __version__
from unmask.cli.streams import complain, flush_results, flush_words, print_line
from unmask.errors import CheckFailed, MissingExtra, Stopped, UserError, did_you_mean

DONE, CHECK_FAILED, USERS_MISTAKE, OUR_MISTAKE, STOPPED, INTERRUPTED = 0, 1, 2, 3, 75, 130


class Command(NamedTuple):
    """Where a command is found: its module holds a function or a typer group under the command's own name."""

    module: str
    help: str
    function: str = ""
    """Its name there, where the command's own name is that of the function of Python."""


COMMANDS = {
    "demo": Command("unmask.cli.demo", "The whole story on text that is already on this machine"),
    "corpus": Command("unmask.cli.corpus", "Build a corpus from text, and show what is in it"),
    "mask": Command("unmask.cli.mask", "Show what a recipe hides, and how much of what"),
    "plan": Command("unmask.cli.plan", "Say what a pre-training would cost here, before anything is spent"),
    "pretrain": Command(
        "unmask.cli.pretrain", "Train an encoder by masked language modelling, or resume a run", "pretrain_command"
    ),
    "average": Command("unmask.cli.average", "Write the mean of the last checkpoints of a run, and measure it"),
    "evaluate": Command("unmask.cli.evaluate", "Measure a model on masks that never change", "evaluate_command"),
    "tasks": Command("unmask.cli.tasks", "Write labelled examples made of the docstrings on this machine"),
    "finetune": Command(
        "unmask.cli.finetune", "Fine-tune a model to a task, beside floors and controls", "finetune_command"
    ),
    "compare": Command(
        "unmask.cli.compare", "Set pre-training beside its alternatives, and say what to do", "compare_command"
    ),
    "predict": Command("unmask.cli.predict", "Say what a fine-tuned model makes of every row of a file"),
    "limit": Command("unmask.cli.limit", "Train on a source whose best possible loss is known, down to it"),
    "fill": Command("unmask.cli.infer", "Say what a model expects under [MASK]"),
    "score": Command("unmask.cli.infer", "Score how expected each text is"),
    "embed": Command("unmask.cli.infer", "Turn texts into vectors"),
    "generate": Command("unmask.cli.generate", "Draw texts from a model, by the way that its training suits"),
    "export": Command("unmask.cli.export", "Write a model as others read it, held against it first", "export_command"),
    "serve": Command("unmask.cli.serve", "Answer over HTTP with one model or several"),
    "diagnose": Command(
        "unmask.cli.diagnose", "Say what to make of a figure, and what would raise it", "diagnose_command"
    ),
    "gate": Command("unmask.cli.gate", "Let a model pass that is no worse than another, for CI", "gate_command"),
    "watch": Command("unmask.cli.watch", "Keep signals of a model's traffic, and hear when it changes"),
    "runs": Command("unmask.cli.runs", "List, show and compare runs"),
    "doctor": Command("unmask.cli.doctor", "Say what works on this machine, and what to do where it does not"),
}

OF_SEVERAL_PROCESSES = ("pretrain",)
"""Commands that torchrun may start in several processes."""

EXTRAS = {
    **dict.fromkeys(("matplotlib", "pyarrow", "scipy", "sklearn", "torch"), "train"),
    **dict.fromkeys(("onnx", "onnxruntime", "onnxscript"), "export"),
    **dict.fromkeys(("fastapi", "prometheus_client", "uvicorn"), "serve"),
    "budoux": "segment",
}
"""The extra that brings a package, for a command that runs where it is not installed."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command in ``arguments`` (by default the process's own) and return the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    with _terminable():
        code = _answered(words)
        flush_words()
        return code


def _answered(words: list[str]) -> int:
    """Run the command in ``words`` and turn what it raises into an exit code."""
    try:
        code = _run(words)
        flush_results()
    except BrokenPipeError:  # who reads the results has enough of them
        return DONE
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in EXTRAS:
            traceback.print_exc()
            return OUR_MISTAKE
        complain(str(MissingExtra(EXTRAS[package], package)))
        return USERS_MISTAKE
    except UserError as error:
        _complain_of(error)
        return USERS_MISTAKE
    except CheckFailed as error:
        complain(str(error))
        return CHECK_FAILED
    except Stopped as error:
        _complain_of(error)
        return STOPPED
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001  # the edge of the program: Python itself would exit with 1, which means "a check said no"
        if not _lacks_memory(error):
            traceback.print_exc()
            return OUR_MISTAKE
        complain("the memory is not enough; lower training.batch_rows or training.row_length, or take a smaller model")
        return USERS_MISTAKE
    else:
        return code


def _complain_of(error: Exception) -> None:
    """Say what went wrong, unless another process of the same run has said it: the error is then without words."""
    if str(error):
        complain(str(error))


def _lacks_memory(error: Exception) -> bool:
    """Tell an error of memory; torch has no type of its own for one of the processor's."""
    words = ("can't allocate memory", "out of memory")
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(word in str(error) for word in words)
    )


@contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM end the command as Ctrl-C does: what was begun is removed; by default nothing would be."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _run(words: list[str]) -> int:
    if not words or words[0] in ("--help", "-h"):
        print_line(overview())
        return DONE
    name, *rest = words
    if name == "--version":
        print_line(f"unmask {__version__}")
        return DONE
    if name not in COMMANDS:
        what = "option" if name.startswith("-") else "command"
        known = ["--help", "--version"] if what == "option" else list(COMMANDS)
        hint = did_you_mean(name, known) or "; unmask --help lists them all"
        raise UserError(f"there is no {what} '{name}'{hint}")
    if name not in OF_SEVERAL_PROCESSES and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UserError(f"unmask {name} runs in one process; start it without torchrun")
    return _invoke(name, rest)


def _invoke(name: str, arguments: list[str]) -> int:
    """Load the command ``name`` and run it. Raises UserError where the arguments do not fit it."""
    import typer
    from typer.main import get_command

    command = COMMANDS[name]
    found: Callable[..., None] | typer.Typer = getattr(import_module(command.module), command.function or name)
    if isinstance(found, typer.Typer):
        app = found
    else:
        app = typer.Typer(add_completion=False, rich_markup_mode=None)
        app.command(name)(found)
    try:
        code = get_command(app).main(arguments, prog_name=f"unmask {name}", standalone_mode=False)
    except typer.Abort:
        return INTERRUPTED
    except typer.TyperException as error:
        context = getattr(error, "ctx", None)
        where = context.command_path if context else f"unmask {name}"
        raise UserError(f"{error.format_message().rstrip('.')}; see {where} --help") from None
    return code if isinstance(code, int) else DONE


def overview() -> str:
    """Return what ``unmask --help`` prints."""
    width = max(map(len, COMMANDS))
    return "\n".join(
        [
            "Usage: unmask COMMAND ...",
            "",
            "Masked language modelling for people who ship encoders: from your own text to",
            "a measured bidirectional encoder.",
            "",
            "Commands:",
            *(f"  {name:<{width}}  {command.help}" for name, command in COMMANDS.items()),
            "",
            "  unmask COMMAND --help   what a command takes",
            "  unmask --version        the version",
            "",
            "Start with: unmask demo",
        ]
    )
