"""``unmask mask`` on a real corpus: what it shows, what it counts, and what it refuses."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from unmask.cli.demo import masked_example
from unmask.cli.main import main
from unmask.corpus.directory import Corpus


def shown(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["mask", *words]) == 0
    return capsys.readouterr().out


def test_it_shows_what_is_hidden_with_signs_where_there_is_no_colour(
    made_corpus: Corpus, capsys: pytest.CaptureFixture[str]
) -> None:
    out = shown(capsys, "--corpus", str(made_corpus.directory), "masking.mlm_probability=0.5", "--sentences", "4")
    assert "\x1b" not in out
    windows, _, rates = out.partition("[was] shown as [MASK]   [was>shown] as another token   [=was] as it was\n")
    assert windows.count("[") - windows.count("[=") > windows.count(">") > 0 < windows.count("[=")
    assert "Effective rates" in rates
    assert re.search(r"^ recipe +50\.00% +40\.00% +5\.00% +5\.00%$", rates, re.MULTILINE)
    assert re.search(r"^ measured +[\d,]+ +[45]\d\.\d\d% ±\d", rates, re.MULTILINE)
    assert "Word length" in rates
    assert max(map(len, rates.splitlines()[:-1])) <= 80
    assert max(map(len, out.splitlines())) < 1000


def test_json_holds_the_windows_and_the_rates_of_the_run(
    made_corpus: Corpus, capsys: pytest.CaptureFixture[str]
) -> None:
    found = json.loads(shown(capsys, "--json", "--corpus", str(made_corpus.directory), "masking.mlm_probability=0.2"))
    assert found["mask_rates"]["recipe"] == pytest.approx(0.2)
    assert found["mask_rates"]["selected"] == pytest.approx(0.2, abs=0.03)
    assert set(found["mask_rates"]["by"]) == {"word_length", "frequency", "position", "source"}
    assert len(found["windows"]) == 3
    window = "".join(text.partition(">")[0] if kind == "random" else text for text, kind in found["windows"][0])
    assert window.startswith("The ")


def test_epochs_seeds_and_places_show_other_masks(made_corpus: Corpus, capsys: pytest.CaptureFixture[str]) -> None:
    common = ["--json", "--corpus", str(made_corpus.directory), "--sentences", "1"]
    falling = ["masking.schedule=linear", "masking.mlm_probability=0.9", "masking.final_probability=0.1"]
    windows = [
        json.loads(shown(capsys, *common, *words))["windows"]
        for words in ([], [], ["--epoch", "1"], falling, [*falling, "--place", "1"])
    ]
    assert windows[0] == windows[1] != windows[2]
    hidden = [sum(bool(kind) for _, kind in window[0]) for window in windows]
    assert hidden[3] > 3 * hidden[4]


def test_phrases_and_recipes_are_those_of_pretrain(
    made_corpus: Corpus, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "names.txt").write_text("in memory\nin order\n")
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(f"masking:\n  unit: phrase\n  phrases: {tmp_path / 'names.txt'}\n")
    assert "Effective rates" in shown(capsys, str(recipe), "--corpus", str(made_corpus.directory))
    assert main(["mask", "masking.unit=phrase", "--corpus", str(made_corpus.directory)]) == 2
    assert "unit phrase needs a list" in capsys.readouterr().err


def test_the_demo_draws_its_example_the_same_way(made_corpus: Corpus) -> None:
    window, _, legend = masked_example(made_corpus).plain.partition("\n\n")
    assert "[" in window
    assert window.count("[") < 20, "15 % of a window of 64"
    assert legend.startswith("[was] shown as [MASK]")
