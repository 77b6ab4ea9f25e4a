"""Who may import whom. What bites: imports inside functions and for type checking count too."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src"

LAYERS = (
    {"errors", "batch"},
    {"files"},
    {"settings", "runs", "stats", "host"},
    {"corpus", "masking", "model", "oracle", "tasks"},
    {"objectives", "inference"},
    {"evaluation"},
    {"training"},
    {"finetuning", "exporting"},
    {"comparison", "serve", "watch"},
    {"report"},
    {"cli"},
    {"__main__", ""},  # "" is unmask/__init__.py, the front door: it may name everything
)
LAYER_OF = {part: layer for layer, parts in enumerate(LAYERS) for part in parts}

NETWORK = {"model", "objectives", "evaluation", "training"}
WITH_TORCH = NETWORK | {"finetuning", "exporting", "comparison", "cli", "__main__", ""}
TORCH_ENGINES = {"unmask.inference.torch_engine", "unmask.inference.torch_tasks"}

TERMINAL_PACKAGES = {"typer", "rich"}


def modules_of(source: Path) -> dict[str, str]:
    """Return the text of every module under ``source`` by its dotted name."""
    found = {}
    for path in sorted(source.rglob("*.py")):
        parts = path.relative_to(source).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path.read_text(encoding="utf-8")
    return found


def part_of(module: str) -> str:
    """Return the part of the package that a module belongs to: its first name below ``unmask``."""
    return [*module.split("."), ""][1]


def imports_of(text: str, known: Iterable[str]) -> Iterator[str]:
    """Yield all that a module imports, modules of ``known`` in full, wherever in its text the import stands."""
    known = set(known)
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: imports are written in full"
            for alias in node.names:
                below = f"{node.module}.{alias.name}"
                yield below if below in known or node.module == "unmask" else str(node.module)


def own_imports(modules: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield (importer, imported) for every import of one module of ours by another."""
    for module, text in modules.items():
        for name in imports_of(text, modules):
            if name.partition(".")[0] == "unmask" and name != "unmask.__version__":
                yield module, name


def upward_imports(modules: Mapping[str, str]) -> list[str]:
    """Return every import that does not point down to a lower layer or stay within its part."""
    return [
        f"{importer} imports {imported}"
        for importer, imported in own_imports(modules)
        if part_of(importer) != part_of(imported) and LAYER_OF[part_of(imported)] >= LAYER_OF[part_of(importer)]
    ]


def import_cycle(modules: Mapping[str, str]) -> list[str]:
    """Return the modules of an import cycle, or nothing."""
    graph: dict[str, set[str]] = {module: set() for module in modules}
    for importer, imported in own_imports(modules):
        graph[importer].add(imported)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def terminal_imports(modules: Mapping[str, str]) -> list[str]:
    """Return every import of the terminal's packages outside the command line."""
    return [
        f"{module} imports {name}"
        for module, text in modules.items()
        if part_of(module) != "cli"
        for name in imports_of(text, modules)
        if name.partition(".")[0] in TERMINAL_PACKAGES
    ]


def catchers_of_user_errors(modules: Mapping[str, str]) -> list[str]:
    """Return every place outside the command line that catches UserError as such."""
    return [
        f"{module}:{node.lineno}"
        for module, text in modules.items()
        if part_of(module) != "cli"
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.ExceptHandler) and node.type is not None
        for caught in ast.walk(node.type)
        if "UserError" in (getattr(caught, "id", ""), getattr(caught, "attr", ""))
    ]


@pytest.fixture(scope="module")
def modules() -> dict[str, str]:
    return modules_of(SOURCE)


def test_every_part_has_a_layer(modules: dict[str, str]) -> None:
    assert {part_of(module) for module in modules} <= LAYER_OF.keys()


def test_imports_point_down(modules: dict[str, str]) -> None:
    assert upward_imports(modules) == []


def test_imports_make_no_cycle(modules: dict[str, str]) -> None:
    assert import_cycle(modules) == []


def test_only_the_command_line_knows_the_terminal(modules: dict[str, str]) -> None:
    assert terminal_imports(modules) == []


def test_only_the_command_line_catches_user_errors(modules: dict[str, str]) -> None:
    assert catchers_of_user_errors(modules) == []


@pytest.mark.parametrize(
    ("importer", "text"),
    [
        ("unmask.corpus.rows", "from unmask.training.loop import train"),
        ("unmask.corpus.rows", "def late():\n    import unmask.training.loop"),
        ("unmask.corpus.rows", "if TYPE_CHECKING:\n    from unmask.training import loop"),
        ("unmask.corpus.rows", "from unmask.masking.noise import mix"),
        ("unmask.corpus.rows", "from unmask import training"),
        ("unmask.stats", "from unmask.runs import RunDirectory"),
    ],
)
def test_an_import_upward_or_sideways_is_seen(importer: str, text: str) -> None:
    assert len(upward_imports({importer: text, "unmask.training.loop": "", "unmask.masking.noise": ""})) == 1


def test_an_import_downward_or_within_a_part_is_let_pass() -> None:
    assert (
        upward_imports({"unmask.corpus.rows": "from unmask.corpus import shards\nfrom unmask.batch import Rows"}) == []
    )


def test_a_cycle_within_a_part_is_seen() -> None:
    pair = {"unmask.corpus.a": "from unmask.corpus import b", "unmask.corpus.b": "def f():\n    import unmask.corpus.a"}
    assert set(import_cycle(pair)) == set(pair)


def test_a_stray_terminal_or_catch_is_seen() -> None:
    assert terminal_imports({"unmask.training.loop": "from rich.progress import Progress"})
    assert catchers_of_user_errors({"unmask.runs": "try: ...\nexcept (OSError, errors.UserError): ..."}) == [
        "unmask.runs:2"
    ]


def test_what_needs_no_torch_imports_without_it(modules: dict[str, str]) -> None:
    names = [name for name in modules if part_of(name) not in WITH_TORCH and name not in TORCH_ENGINES]
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED.format(names=names)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == names


BLOCKED = """
import importlib, sys

class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "torch":
            raise ModuleNotFoundError("torch is blocked", name=name)

sys.meta_path.insert(0, NoTorch())
for name in {names}:
    importlib.import_module(name)
    print(name)
"""
