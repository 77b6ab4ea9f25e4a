"""Is the verdict right where the answer is known? Four built worlds, ten seeds each: benchmarks/results/worlds.json.

Run: .venv/bin/python benchmarks/worlds.py --work DIR [--seeds 10] [--only NAME ...]. Every world of every seed is kept
in DIR as it ends, so that a second call goes on. Networks are 2x64; a world takes one to two minutes on one thread.

- helps: a label is one of two groups of topics. Topics are states of a hidden Markov model that show words of their
  own, so what a word means is told by the words around it: in unlabelled text, thousands of times; in labels, hardly.
- one-word: the label is whether one word is in the text. Nothing else matters, and labels alone say which.
- noise: the label is a coin.
- thin: as helps, but half of the labels are a coin, and there are few of them, few held-out examples, few seeds.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import unmask
from unmask import files
from unmask.corpus.tokenizer import word_tokenizer
from unmask.oracle.sources import Source, chain

RESULTS = Path(__file__).parent / "results"
STATES, WORDS_A_STATE, STAYING = 6, 200, 0.9
"""Topics of a group, words that a topic shows, chance that the next word is of the same topic."""
OWN_WORDS = 2 * STATES * WORDS_A_STATE
SHARED, SHARED_CHANCE = 50, 0.25
"""Words that all topics show, and how often one does."""
DOCUMENTS, DOCUMENT_WORDS = 12_000, 40
KEY = "kazoopi"
"""The one word that matters."""
SETTINGS = {
    "pretrain.corpus.document": "line",
    "pretrain.corpus.near_duplicates": 1,
    "pretrain.model.preset": "tiny",
    "pretrain.model.hidden_size": 64,
    "pretrain.optimizer.learning_rate": 5e-3,
    "pretrain.training.row_length": 84,
    "pretrain.training.threads": 1,
    "pretrain.evaluation.documents": 50,
    "finetune.training.threads": 1,
    "finetune.task.max_length": 32,
    "finetune.task.stride": 8,
}

Ints = npt.NDArray[np.int64]
Chance = np.random.Generator


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """How labelled texts come about, how many there are, and which verdict is right."""

    labelled: Callable[[Sequence[Group], int, Chance], tuple[Ints, Ints]]
    """From the two groups and a number to texts (N, L) and labels (N,)."""
    labels: int
    counts: str
    held_out: int
    seeds: int
    right: tuple[str, str | None]
    """The kind of the decision, and over which arm."""


@dataclass(frozen=True, slots=True)
class Group:
    """Texts whose topics follow a Markov chain; every topic shows words of its own, and now and then one of all."""

    number: int
    topics: Source

    def sample(self, count: int, length: int, chance: Chance) -> Ints:
        """Return (N, L) words."""
        topic = self.number * STATES + self.topics.sample(count, length, chance)
        own = topic * WORDS_A_STATE + chance.integers(WORDS_A_STATE, size=topic.shape)
        of_all = OWN_WORDS + chance.integers(SHARED, size=topic.shape)
        return np.where(chance.random(topic.shape) < SHARED_CHANCE, of_all, own)


def groups(chance: Chance) -> list[Group]:
    """Return two groups of topics."""
    moving = chance.dirichlet(np.ones(STATES), (2, STATES))
    return [Group(number, chain(STAYING * np.eye(STATES) + (1 - STAYING) * moving[number])) for number in range(2)]


def by_topic(sources: Sequence[Group], count: int, chance: Chance) -> tuple[Ints, Ints]:
    """Return texts of eight words, labelled by their group."""
    labels = np.arange(count) % 2
    texts = np.stack([source.sample(count, 8, chance) for source in sources])[labels, np.arange(count)]
    return texts, labels


def by_topic_and_coin(sources: Sequence[Group], count: int, chance: Chance) -> tuple[Ints, Ints]:
    """Return the same with half of the labels left to a coin."""
    texts, labels = by_topic(sources, count, chance)
    return texts, np.where(chance.random(count) < 0.5, chance.integers(2, size=count), labels)


def by_word(sources: Sequence[Group], count: int, chance: Chance) -> tuple[Ints, Ints]:
    """Return texts of either group, every other with the key in a place of it, labelled by that."""
    texts, _ = by_topic(sources, count, chance)
    labels = chance.permutation(np.arange(count) % 2)
    has_key = np.flatnonzero(labels)
    texts[has_key, chance.integers(texts.shape[1], size=len(has_key))] = OWN_WORDS + SHARED
    return texts, labels


def by_coin(sources: Sequence[Group], count: int, chance: Chance) -> tuple[Ints, Ints]:
    """Return texts of either group, labelled by a coin."""
    return by_topic(sources, count, chance)[0], chance.integers(2, size=count)


WORLDS = {
    "helps": World(labelled=by_topic, labels=48, counts="24,48", held_out=500, seeds=4, right=("use", None)),
    "one-word": World(labelled=by_word, labels=200, counts="all", held_out=500, seeds=4, right=("simple", "tfidf")),
    "noise": World(labelled=by_coin, labels=100, counts="all", held_out=2000, seeds=6, right=("nothing", None)),
    "thin": World(labelled=by_topic_and_coin, labels=20, counts="all", held_out=30, seeds=3, right=("undecided", None)),
}


def words_of(count: int) -> list[str]:
    """Return ``count`` different words that no piece of a word tells apart by topic: drawn from all syllables."""
    syllables = [consonant + vowel for consonant, vowel in product("bdfgklmnprstvz", "aeiou")]
    made = ["".join(parts) for parts in product(syllables, syllables, syllables[:4])]
    return [made[place] for place in np.random.Generator(np.random.Philox(7)).permutation(len(made))[:count]]


def write_world(world: World, folder: Path, seed: int, documents: int = DOCUMENTS) -> None:
    """Write the unlabelled text, the tokenizer and the labelled files of a world into ``folder``."""
    chance = np.random.Generator(np.random.Philox(seed))
    sources = groups(chance)
    words = [*words_of(OWN_WORDS + SHARED), KEY]
    several = [source.sample(documents // 2, DOCUMENT_WORDS, chance) for source in sources]
    lines = np.concatenate(several)[chance.permutation(documents // 2 * 2)]
    lines[::2, 0] = len(words) - 1  # the key is in the corpus too, and says nothing there
    files.write_bytes(folder / "text.txt", "".join(f"{_text(words, line)}\n" for line in lines.tolist()).encode())
    files.write_bytes(folder / "tokenizer.json", word_tokenizer(words).to_str().encode())
    for name, count in (("train", world.labels), ("dev", 60), ("test", world.held_out)):
        texts, labels = world.labelled(sources, count, chance)
        rows = zip(texts.tolist(), labels.tolist(), strict=True)
        written = (json.dumps({"text": _text(words, text), "label": f"group {label}"}) for text, label in rows)
        files.write_bytes(folder / f"{name}.jsonl", "".join(f"{line}\n" for line in written).encode())


def _text(words: Sequence[str], numbers: Sequence[int]) -> str:
    return " ".join(words[number] for number in numbers)


def answer(world: World, folder: Path, seed: int, budget: str = "400steps") -> dict[str, Any]:
    """Return what the verdict is in a world, made in ``folder``; a stopped comparison goes on."""
    out = folder / "compared"
    if (out / "run.json").is_file():
        run = unmask.compare(resume=out, progress=False)
    else:
        folder.mkdir(parents=True, exist_ok=True)
        write_world(world, folder, seed)
        settings = {**SETTINGS, "pretrain.tokenizer.path": str(folder / "tokenizer.json")}
        run = unmask.compare(
            folder / "text.txt", "classify", folder / "train.jsonl", folder / "dev.jsonl", out,
            test=folder / "test.jsonl", budget=budget, arms="mlm,scratch", labels=world.counts, seeds=world.seeds,
            settings={**settings, "pretrain.training.seed": seed}, progress=False,
        )  # fmt: skip
    found = run.evaluation["comparison"]
    verdict, last = found["verdict"], str(found["counts"][-1])
    return {
        "seed": seed,
        **{key: verdict[key] for key in ("kind", "over", "title", "more_labels", "more_seeds", "more_held_out")},
        "is_right": is_right(world, verdict),
        "quality": {name: at_counts[last]["value"] for name, at_counts in found["quality"].items()},
        "gaps": {
            name: [gap[last][key] for key in ("value", "low", "high")] for name, gap in found["differences"].items()
        },
    }


def is_right(world: World, verdict: dict[str, Any]) -> bool:
    """Say whether the verdict is the one that the world was built for."""
    kind, over = world.right
    return bool(verdict["kind"] == kind and over in (None, *verdict["over"]))


def page(found: dict[str, list[dict[str, Any]]]) -> str:
    """Return the results as Markdown."""
    lines = [
        "# Is the verdict right where the answer is known?",
        "",
        "| world | right | verdicts |",
        "| --- | --- | --- |",
    ]
    for name, runs in found.items():
        kinds = [f"{run['kind']}{' ' + ', '.join(run['over']) if run['over'] else ''}" for run in runs]
        counted = "; ".join(f"{kind}: {kinds.count(kind)}" for kind in dict.fromkeys(kinds))
        lines.append(f"| {name} | {sum(run['is_right'] for run in runs)} of {len(runs)} | {counted} |")
    lines += ["", "Mean accuracy at the most labels:", ""]
    arms = list(dict.fromkeys(arm for runs in found.values() for run in runs for arm in run["quality"]))
    lines += [f"| world | {' | '.join(arms)} |", f"| --- |{' --- |' * len(arms)}"]
    for name, runs in found.items():
        means = [float(np.mean([run["quality"][arm] for run in runs])) for arm in arms]
        lines.append(f"| {name} | {' | '.join(f'{mean:.3f}' for mean in means)} |")
    return "\n".join([*lines, "", "Made by benchmarks/worlds.py, which says how each world is built.", ""])


def main() -> None:
    """Make what is missing, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--only", nargs="*", choices=WORLDS, default=list(WORLDS))
    chosen = parser.parse_args()
    for seed, name in product(range(chosen.seeds), chosen.only):
        kept = chosen.work / f"{name}-{seed}.json"
        if not kept.is_file():
            files.write_json(kept, answer(WORLDS[name], chosen.work / f"{name}-{seed}", seed))
        found = json.loads(kept.read_text(encoding="utf-8"))
        print(f"{name} {seed}: {'right' if found['is_right'] else 'WRONG'}: {found['title']}", flush=True)
    made = {
        name: [json.loads(path.read_text(encoding="utf-8")) for path in sorted(chosen.work.glob(f"{name}-[0-9]*.json"))]
        for name in WORLDS
    }
    found_all = {name: runs for name, runs in made.items() if runs}
    (RESULTS / "worlds.json").write_text(json.dumps(found_all, indent=1) + "\n", encoding="utf-8")
    (RESULTS / "worlds.md").write_text(page(found_all), encoding="utf-8")


if __name__ == "__main__":
    main()
