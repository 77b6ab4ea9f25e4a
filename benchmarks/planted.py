"""Planted faults: does ``unmask diagnose`` name the fault that was planted, and nothing where none was?

Run: .venv/bin/python benchmarks/planted.py --work DIR --encoders RUN [RUN ...] --corpus DIR [--only FAULT ...]. Twelve
faults are planted, one at a time, in data and models that are otherwise sound (planted_text.py says what the texts
are); a run counts where the fault is the first of its list. Sound ones are diagnosed --healthy times. Every run is
written as it ends and models stay in DIR, so a second call goes on where the first was stopped.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from planted_text import KINDS, Filling, Made, flipped, in_german, in_new_words, made, merged, rows_of

from unmask.cli.diagnose import diagnose
from unmask.finetuning.finish import finished
from unmask.finetuning.fit import fit, job_of
from unmask.finetuning.settings import FinetuneSettings
from unmask.inference.resolve import resolve
from unmask.runs import RunDirectory
from unmask.tasks.formats import read_examples

RESULTS = Path(__file__).parent / "results"
PARTS = {"train": 1800, "dev": 900, "traffic": 600}
"""Examples of each file."""
WATCHED = 300
"""Development examples that choose the best weights and fit the temperature."""
SETTINGS: dict[str, Any] = {"training": {"threads": 1, "epochs": 3, "batch_rows": 16}, "task": {"max_length": 128}}
Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class World:
    """A sound set of examples, and the encoder that is fine-tuned to it."""

    filling: Filling
    encoder: Path
    folder: Path
    seed: int

    def examples(self, part: str, packages: Sequence[str] | None = None, **how: Any) -> list[Made]:
        """Return sound examples of PARTS; ``how`` is handed to :func:`made`."""
        lines = self.filling.of("train" if part == "train" else "held out", packages)
        return made(how.pop("count", PARTS[part]), lines, 10 * self.seed + list(PARTS).index(part), **how)

    def write(self, name: str, rows: Rows) -> Path:
        """Write a file of rows."""
        path = self.folder / f"{name}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
        return path

    def fitted(self, name: str, train: Path, dev: Path, **changes: Any) -> Path:
        """Return a fine-tuned run, made unless it is there."""
        out = self.folder / name
        if (out / "done").is_file():
            return out
        shutil.rmtree(out, ignore_errors=True)
        values = {**SETTINGS, **{group: {**SETTINGS.get(group, {}), **given} for group, given in changes.items()}}
        values["training"] = {**values["training"], "seed": self.seed}
        examples = [read_examples("classify", path) for path in (train, dev)]
        chosen_by = examples[1][:WATCHED]
        job = job_of(resolve(self.encoder), "classify", examples[0], chosen_by, FinetuneSettings.parse(values))
        run = fit(job, out, lambda _: None, work={"train": str(train), "fields": {}})
        finished(run, job)
        (out / "done").touch()
        return out

    def changed(self, name: str, model: Path, **values: Any) -> Path:
        """Return a copy of a run with other ``values`` in its task block, made unless it is there."""
        out = self.folder / name
        if not (out / "done").is_file():
            shutil.rmtree(out, ignore_errors=True)
            shutil.copytree(model, out, ignore=shutil.ignore_patterns("done"))
            run = RunDirectory(out)
            run.update(task={**run.state["task"], **values})
            (out / "done").touch()
        return out

    def sound(self) -> tuple[Path, Path, Path, Path]:
        """Return a sound model, and its files of training, development and traffic."""
        train = self.write("train", rows_of(self.examples("train")))
        dev = self.write("dev", rows_of(self.examples("dev")))
        traffic = self.write("traffic", rows_of(self.examples("traffic")))
        return self.fitted("sound", train, dev), train, dev, traffic


Planted = tuple[Path, Path, Path, Path]
"""Model, training, development and traffic."""


def healthy(world: World) -> Planted:
    """Plant nothing."""
    return world.sound()


def flipped_labels(world: World) -> Planted:
    """Give a fifth of the training and development examples another label."""
    train = world.write("flipped-train", rows_of(flipped(world.examples("train"), 0.2, world.seed)))
    dev = world.write("flipped-dev", rows_of(flipped(world.examples("dev"), 0.2, world.seed + 1)))
    return world.fitted("flipped", train, dev), train, dev, world.sound()[3]


def casing_skew(world: World) -> Planted:
    """Write the training examples in lower case."""
    rows = [{**row, "text": row["text"].lower()} for row in rows_of(world.examples("train"))]
    train = world.write("lower-train", rows)
    _, _, dev, traffic = world.sound()
    return world.fitted("lower", train, dev), train, dev, traffic


def truncation(world: World) -> Planted:
    """Ask about longer texts, and read 64 tokens of each."""
    model, train, _, _ = world.sound()
    dev, traffic = (
        world.write(f"long-{part}", rows_of(world.examples(part, filling=4))) for part in ("dev", "traffic")
    )
    return world.changed("short-sighted", model, max_length=64, stride=0), train, dev, traffic


def leaked(world: World) -> Planted:
    """Put the development examples among the training examples."""
    _, _, dev, traffic = world.sound()
    rows = rows_of([*world.examples("train"), *world.examples("dev")])
    train = world.write("leaked-train", rows)
    return world.fitted("leaked", train, dev, training={"epochs": 2}), train, dev, traffic


def other_language(world: World) -> Planted:
    """Ask a fifth of the development examples and of the traffic in German."""
    model, train, _, _ = world.sound()
    files = [
        world.write(f"german-{part}", _some(world.examples(part), in_german, 0.2, world.seed))
        for part in ("dev", "traffic")
    ]
    return model, train, files[0], files[1]


def class_merged(world: World) -> Planted:
    """Label most of a class as another in training."""
    one, other = random.Random(world.seed).sample(list(KINDS), 2)
    train = world.write("merged-train", rows_of(merged(world.examples("train"), one, other, 0.9, world.seed)))
    _, _, dev, traffic = world.sound()
    return world.fitted("merged", train, dev), train, dev, traffic


def under_training(world: World) -> Planted:
    """Stop after an epoch."""
    _, train, dev, traffic = world.sound()
    return world.fitted("early", train, dev, training={"epochs": 1}), train, dev, traffic


def over_fitting(world: World) -> Planted:
    """Learn from few examples many times."""
    _, _, dev, traffic = world.sound()
    train = world.write("few-train", rows_of(world.examples("train", count=120)))
    return world.fitted("few", train, dev, training={"epochs": 40}), train, dev, traffic


def shifted_traffic(world: World) -> Planted:
    """Ask about other packages than the examples do."""
    model, train, dev, _ = world.sound()
    packages = world.filling.packages[:2]
    rows = rows_of(world.examples("traffic", packages=packages, filling=3))
    return model, train, dev, world.write("shifted-traffic", rows)


def stale_tokenizer(world: World) -> Planted:
    """Use names that the vocabulary does not know in a quarter of the examples and of the traffic."""
    model, train, _, _ = world.sound()
    files = [
        world.write(f"new-{part}", _some(world.examples(part), in_new_words, 0.25, world.seed))
        for part in ("dev", "traffic")
    ]
    return model, train, files[0], files[1]


def miscalibrated(world: World) -> Planted:
    """Divide scores by the temperature of another model."""
    model, train, dev, traffic = world.sound()
    return world.changed("lukewarm", model, temperature=4.0), train, dev, traffic


def bag_of_words(world: World) -> Planted:
    """Name one thing alone, so that its word decides."""
    train, dev, traffic = (world.write(f"word-{part}", rows_of(world.examples(part, clauses=1))) for part in PARTS)
    return world.fitted("word", train, dev, training={"epochs": 2}), train, dev, traffic


def _some(examples: Sequence[Made], change: Callable[[Made, int], dict[str, str]], share: float, seed: int) -> Rows:
    """Return the rows of ``examples``, ``share`` of them changed."""
    chance = random.Random(seed)
    return [change(one, place) if chance.random() < share else one.row for place, one in enumerate(examples)]


FAULTS: dict[str, tuple[Callable[[World], Planted], str, str]] = {
    "flipped labels": (flipped_labels, "raise", "label noise"),
    "casing skew": (casing_skew, "believed", "writing"),
    "truncation": (truncation, "raise", "truncation"),
    "leaked test set": (leaked, "believed", "leakage"),
    "slice in another language": (other_language, "raise", "slice"),
    "class merged": (class_merged, "raise", "confusion"),
    "under-training": (under_training, "raise", "under-training"),
    "over-fitting": (over_fitting, "raise", "over-fitting"),
    "shifted traffic": (shifted_traffic, "raise", "shift"),
    "stale tokenizer": (stale_tokenizer, "raise", "tokenizer fit"),
    "miscalibration": (miscalibrated, "believed", "calibration"),
    "bag of words": (bag_of_words, "believed", "floor"),
}
"""How each is planted, in which list it should be first, and under which name."""
HEALTHY = "healthy"


def measured(plant: Callable[[World], Planted], world: World) -> dict[str, Any]:
    """Return what the diagnosis finds in both lists."""
    began = time.perf_counter()
    model, train, dev, traffic = plant(world)
    planted = time.perf_counter()
    found = diagnose(model, dev, train=train, traffic=traffic)
    lists = {
        name: [(one["check"], one["gain"] and one["gain"]["value"]) for one in found[name] if one["state"] == "found"]
        for name in ("believed", "raise")
    }
    seconds = [round(planted - began, 1), round(time.perf_counter() - planted, 1)]
    return {"figure": round(found["figure"]["value"]["value"], 4), "found": lists, "seconds": seconds}


def is_named(name: str, row: dict[str, Any]) -> bool:
    """Say whether the fault ``name`` is first of its list; of a sound one, whether nothing is found."""
    if name == HEALTHY:
        return not any(row["found"].values())
    _, part, check = FAULTS[name]
    found = row["found"][part]
    return bool(found) and found[0][0] == check


def page(results: dict[str, dict[str, Any]]) -> str:
    """Return the results as Markdown."""
    faults = {key: row for key, row in results.items() if not key.startswith(HEALTHY)}
    named = sum(is_named(key.rpartition(" ")[0], row) for key, row in faults.items())
    sound = [row for key, row in results.items() if key.startswith(HEALTHY)]
    false = sum(len(found) for row in sound for found in row["found"].values())
    lines = [
        "# Planted faults",
        "",
        "One fault at a time in data and models that are otherwise sound; made texts in docstrings, see",
        "`benchmarks/planted_text.py`. A fault counts where it is the first of its list. The thresholds of the checks",
        "were chosen on seed 0.",
        "",
        f"**{named} of {len(faults)}** planted faults are named first.",
        f"Sound ones: **{false} findings in {len(sound)}** diagnoses.",
        "",
        "| planted | named first | the figure | what was found, with its gain in points |",
        "| --- | --- | --- | --- |",
    ]
    for name in (*FAULTS, HEALTHY):
        rows = [row for key, row in sorted(results.items()) if key.rpartition(" ")[0] == name]
        figures = ", ".join(f"{row['figure']:.2f}" for row in rows)
        told = "; ".join(_found(name, row) for row in rows)
        lines.append(f"| {name} | {sum(is_named(name, row) for row in rows)} of {len(rows)} | {figures} | {told} |")
    return "\n".join([*lines, ""])


def _found(name: str, row: dict[str, Any]) -> str:
    """Return what was found in the list that the fault belongs to, in both of a sound one."""
    lists = row["found"].values() if name == HEALTHY else [row["found"][FAULTS[name][1]]]
    found = [check if gain is None else f"{check} {100 * gain:+.0f}" for part in lists for check, gain in part]
    return ", ".join(found) or "nothing"


def main() -> None:
    """Diagnose what is missing, and write results/planted.json and .md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--encoders", type=Path, nargs="+", required=True)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--healthy", type=int, default=10)
    parser.add_argument("--only", nargs="*", default=[*FAULTS, HEALTHY])
    parser.add_argument("--out", type=Path, default=RESULTS / "planted")
    chosen = parser.parse_args()
    target = chosen.out.with_suffix(".json")
    results = json.loads(target.read_text()) if target.exists() else {}
    filling = Filling(chosen.corpus)
    for seed in range(max(chosen.seeds, chosen.healthy)):
        world = World(filling, chosen.encoders[seed % len(chosen.encoders)], chosen.work / str(seed), seed)
        for name in chosen.only:
            key = f"{name} {seed}"
            if key in results or seed >= (chosen.healthy if name == HEALTHY else chosen.seeds):
                continue
            row = measured(healthy if name == HEALTHY else FAULTS[name][0], world)
            results[key] = row
            print(f"{key}: {'named' if is_named(name, row) else 'MISSED'} {row}", flush=True)
            target.write_text(json.dumps(results, indent=1) + "\n")
    chosen.out.with_suffix(".md").write_text(page(results))


if __name__ == "__main__":
    main()
