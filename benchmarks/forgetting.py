"""What does going on with other text cost on the text before it, and what does replay save?

Run: .venv/bin/python benchmarks/forgetting.py --work DIR [--steps 300]. A small encoder is trained on docstrings of
several packages, then goes on with those of sympy, with and without a share of the first text, and with a vocabulary
that is grown. All arms take the same steps, so replay takes rows from the new text. Runs are kept in DIR as they end,
so a second call goes on.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import unmask
from unmask.corpus.directory import Corpus
from unmask.corpus.docstrings import read_docstrings
from unmask.runs import RunDirectory

RESULTS = Path(__file__).parent / "results"
RECIPE = Path(__file__).parents[1] / "recipes" / "continue.yaml"
GENERAL = ("python", "numpy", "networkx", "matplotlib")
NEW = ("sympy",)
BASE_STEPS = 1500
ROWS = ["training.batch_rows=16", "training.threads=1"]
SHAPE = ["model.preset=tiny", "optimizer.learning_rate=4e-3"]
RATE = ["optimizer.learning_rate=5e-4"]
GROWN = 500

ARMS: dict[str, dict[str, Any]] = {
    "new text alone": {"share": 1.0},
    "a tenth replay": {"share": 0.9},
    "three tenths replay": {"share": 0.7},
    f"new text alone, {GROWN} words grown": {"share": 1.0, "grow": GROWN},
}


def write_texts(work: Path) -> dict[str, Path]:
    """Write the docstrings of both kinds of packages, a JSON line each, and return the files."""
    texts = {"general": work / "general.jsonl", "new": work / "new.jsonl"}
    if not texts["new"].exists():
        found = list(read_docstrings())
        for name, packages in (("general", GENERAL), ("new", NEW)):
            lines = [json.dumps({"text": one.text}) + "\n" for one in found if one.package in packages]
            texts[name].write_text("".join(lines))
    return texts


def corpus_of(work: Path, sources: Any, name: str, **tokenizer: Any) -> Corpus:
    """Return the corpus ``name`` of ``sources``, built now unless it is there."""
    if not (work / name).exists():
        settings = [f"tokenizer.{key}={value}" for key, value in tokenizer.items()]
        unmask.build_corpus(sources, work / name, settings=settings, progress=False)
    return unmask.open_corpus(work / name)


def base_of(work: Path, texts: dict[str, Path]) -> RunDirectory:
    """Return the encoder that all arms start from."""
    corpus = corpus_of(work, texts["general"], "corpus-general", vocab_size=4096)
    if not (work / "base" / "report.html").exists():
        settings = [*SHAPE, *ROWS]
        unmask.pretrain(corpus, work / "base", settings=settings, budget=f"{BASE_STEPS}steps", progress=False)
    return RunDirectory(work / "base")


def arm_of(work: Path, texts: dict[str, Path], base: RunDirectory, steps: int, share: float, grow: int = 0) -> Any:
    """Return what an arm made of both texts."""
    name = f"{share:g}-{grow}"
    weights = {str(texts["new"]): share} | ({str(texts["general"]): round(1 - share, 2)} if share < 1 else {})
    brought = {"path": base.path / "tokenizer.json", "grow": grow}
    corpus = corpus_of(work, weights, f"corpus-{name}", **brought)
    out = work / f"run-{name}-{steps}"
    if not (out / "report.html").exists():
        unmask.pretrain(
            corpus,
            out,
            init=base.path,
            general=texts["general"] if grow else work / "corpus-general",
            recipe=RECIPE,
            settings=[*RATE, *ROWS],
            budget=f"{steps}steps",
            progress=False,
        )
    new = corpus if share == 1 else unmask.open_corpus(work / "corpus-1-0")
    measured, general = unmask.evaluate(out, corpus=new)["mlm"], RunDirectory(out).evaluation["general"]
    train = corpus.manifest.splits["train"]
    return {
        "new_text": {"bits_per_character": measured["bits_per_character"], **measured["cross_entropy"]},
        "general": {name: general[name] for name in ("frozen", "before", "after", "forgotten")},
        "tokens_per_word": train["tokens"] / train["words"],
    }


def main() -> None:
    """Run the arms and write results/forgetting.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=300)
    asked = parser.parse_args()
    asked.work.mkdir(parents=True, exist_ok=True)
    texts = write_texts(asked.work)
    base = base_of(asked.work, texts)
    before = unmask.evaluate(base, corpus=corpus_of(asked.work, texts["new"], "corpus-1-0", path=base.path))["mlm"]
    print(f"before: {before['cross_entropy']['masked']['value']:.3f} nats at [MASK] of the new text")
    arms = {}
    for name, arm in ARMS.items():
        arms[name] = arm_of(asked.work, texts, base, asked.steps, **arm)
        new, general = arms[name]["new_text"], arms[name]["general"]
        bits, lost = new["bits_per_character"]["value"], general["forgotten"]
        print(
            f"{name:34} new {new['masked']['value']:.3f} nats, {bits:.3f} bits a character;"
            f" forgotten {lost['value']:+.3f} [{lost['low']:+.3f}, {lost['high']:+.3f}]"
        )
    result = {"steps": asked.steps, "before": {"new_text": before["cross_entropy"]["masked"]}, "arms": arms}
    (RESULTS / "forgetting.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
