"""What the pages say is true: every command and every Python block runs, every setting and every link is there."""

from __future__ import annotations

import gzip
import json
import re
import runpy
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.made_text import sentences, write_text

from unmask.cli.main import main
from unmask.cli.planning import PretrainSettings
from unmask.finetuning.settings import FinetuneSettings
from unmask.model.config import PRESETS
from unmask.runs import RunDirectory
from unmask.settings import Settings
from unmask.watch.policy import GatePolicy

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
FOLLOWED = "corpus masking pretrain resume evaluate report finetune objectives suites python"
TASKS = [f"{name}.md" for name in FOLLOWED.split()]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "examples" / "README.md", *sorted(DOCS.glob("*.md"))]
RECIPE = "recipe.yaml"
MISSPELT = "model.preest"  # on purpose


def blocks(page: Path) -> Iterator[tuple[str, str]]:
    """Yield the language and the text of the fenced blocks of a page."""
    yield from re.findall(r"^```(\w*)\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def hasty(text: str) -> str:
    """Return a block with budgets that take no time."""
    text = re.sub(r"""(--budget \+?|budget=")\w+""", r"\g<1>4steps", text)
    text = re.sub(r"@\d+ ", "@2 ", text)  # of the four, the second ends the plateau
    return re.sub(r"(unmask finetune \S+.*)", r"\1 training.epochs=1", text).replace("--seeds 6", "--seeds 1")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a working folder with the files that the pages name; every preset is the smallest, to be quick."""
    monkeypatch.chdir(tmp_path)
    for preset in PRESETS:
        monkeypatch.setitem(PRESETS, preset, PRESETS["tiny"])
    (tmp_path / "notes").mkdir()
    for seed, name in enumerate(("one", "two", "three")):
        write_text(tmp_path / "notes" / f"{name}.txt", 60, seed)
    for number in range(40):
        (tmp_path / "notes" / f"page-{number}.txt").write_text("\n".join(sentences(5, 100 + number)), encoding="utf-8")
    (tmp_path / "tickets").mkdir()
    for seed, name in enumerate(("train", "dev", "test", "new")):
        table = [f'"{text}",{"data" if text.split()[2] < "m" else "flow"}' for text in sentences(40, seed)]
        (tmp_path / "tickets" / f"{name}.csv").write_text("\n".join(["text,label", *table]), encoding="utf-8")
    (tmp_path / "phrases.txt").write_text("in memory\nin order\n", encoding="utf-8")
    pair = {"sentence_good": "The small array returns.", "sentence_bad": "Small the array returns.", "UID": "order"}
    (tmp_path / "pairs.jsonl").write_text(json.dumps(pair) + "\n", encoding="utf-8")
    (tmp_path / "mail.txt").write_text("\n".join(sentences(700, 8)), encoding="utf-8")
    for name in ("tickets.jsonl.gz", "letters.csv", "letters.txt"):
        made = sentences(60, len(name))
        rows = {"jsonl.gz": [json.dumps({"body": text, "text": text}) for text in made], "csv": ["body", *made]}
        text = "\n".join(rows.get(name.partition(".")[2], made[:3]))
        (tmp_path / name).write_bytes(gzip.compress(text.encode()) if name.endswith("gz") else text.encode())
    return tmp_path


def run_page(page: Path, names: dict[str, Any]) -> int:
    """Run the blocks of a page in their order and return how many there were."""
    count = 0
    for language, text in blocks(page):
        if language == "yaml":
            Path(RECIPE).write_text(text, encoding="utf-8")
        if language == "python":
            exec(compile(hasty(text), str(page), "exec"), names)
            count += 1
        for line in text.splitlines() if language == "" else ():
            words = shlex.split(hasty(line), comments=True)
            if words[:1] == ["unmask"]:
                if words[-2] == "--resume":  # as if it had been killed
                    RunDirectory(words[-1]).update(status="running")
                assert main(words[1:]) == 0, line
                count += 1
    return count


@pytest.mark.slow
def test_the_pages_can_be_followed_from_the_first_to_the_last(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {}
    counts = {name: run_page(DOCS / name, names) for name in TASKS}
    assert min(counts.values()) > 0, counts
    assert f"unknown setting {MISSPELT}; did you mean 'preset'?" in capsys.readouterr().out


@pytest.mark.slow
def test_the_readme_can_be_followed(folder: Path) -> None:
    assert run_page(ROOT / "README.md", {}) > 5


def known(prefix: str, group: type[Settings]) -> Iterator[str]:
    for name, field in group.model_fields.items():
        yield f"{prefix}{name}"
        if isinstance(field.annotation, type) and issubclass(field.annotation, Settings):
            yield from known(f"{prefix}{name}.", field.annotation)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_setting_and_every_link_that_a_page_names_is_there(page: Path) -> None:
    recipes = (PretrainSettings, FinetuneSettings, GatePolicy)
    text, settings = page.read_text(encoding="utf-8"), {name for recipe in recipes for name in known("", recipe)}
    groups = "|".join(dict.fromkeys(name for recipe in recipes for name in recipe.model_fields))
    named = set(re.findall(rf"(?<![\w/.])(?:{groups})(?:\.[a-z_]+)+(?=[=`\":])", text))
    files = {name for name in named if name.endswith((".json", ".safetensors"))}
    assert named - files - settings - {MISSPELT} == set()
    links = [link for link in re.findall(r"\]\(([^)#]+)", text) if not link.startswith("http")]
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_the_page_of_settings_is_what_the_classes_say() -> None:
    made = runpy.run_path(str(DOCS / "make_settings.py"))["page"]()
    assert (DOCS / "settings.md").read_text(encoding="utf-8") == made, "run .venv/bin/python docs/make_settings.py"
