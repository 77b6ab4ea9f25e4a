"""Texts whose label is known and hangs on which word belongs to which: docstrings around sentences that were made.

A text holds three clauses in which something does something to a thing; its label is the kind of the thing that is
stored. A bag of words sees three things and not which of them is stored. What bites: the filling is docstrings of the
split that the examples are for, so that no text of one file stands in another.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from unmask.corpus.directory import open_corpus
from unmask.corpus.docstring_tasks import docstring_task

KINDS = {
    "memory": ("buffer", "cache", "array", "matrix"),
    "disk": ("file", "folder", "archive", "path"),
    "network": ("socket", "port", "request", "address"),
    "time": ("date", "clock", "delay", "second"),
    "text": ("string", "word", "letter", "line"),
    "picture": ("image", "pixel", "color", "figure"),
}
ACTORS = ("parser", "server", "reader", "worker", "client", "loader", "writer", "thread", "object", "model")
STORES = ("stores", "keeps")
OTHERS = ("reads", "drops", "checks", "sorts", "copies", "counts")

GERMAN_KINDS = {
    "memory": ("Zwischenspeicher", "Feld", "Puffer"),
    "disk": ("Ordner", "Archiv", "Verzeichnis"),
    "network": ("Anschluss", "Anfrage", "Adresse"),
    "time": ("Datum", "Uhr", "Frist"),
    "text": ("Zeichenkette", "Wort", "Buchstabe"),
    "picture": ("Bild", "Bildpunkt", "Farbe"),
}
GERMAN_OTHERS = ("liest", "verwirft", "prüft", "sortiert", "kopiert", "zählt")
GERMAN_FILLING = (
    "Die Anwendung wird mit den Werten aus der Datei gestartet und sich selbst überlassen.",
    "Wenn der Benutzer nicht angemeldet ist, wird eine Meldung auf dem Schirm gezeigt.",
    "Das ist bei älteren Geräten auch ohne die neue Fassung der Bibliothek zu sehen.",
    "Für die Dauer der Prüfung werden die Einträge im Verzeichnis nicht verändert.",
    "Als Ergebnis wird eine Liste mit den Namen der Kunden an die Stelle von gestern gesetzt.",
    "Bei einem Fehler wird der Vorgang von dem Dienst noch einmal und dann nicht mehr versucht.",
)
SYLLABLES = ("zyq", "thor", "vex", "quu", "jaw", "xin", "fyo", "bzr", "kwe", "ogt", "hul", "wix")


@dataclass(frozen=True)
class Made:
    """An example before it is written."""

    clauses: tuple[tuple[str, str], ...]
    """(verb, thing) of each."""
    actors: tuple[str, ...]
    filling: tuple[str, ...]
    place: int
    """Before which filling the clauses stand."""
    label: str

    @property
    def text(self) -> str:
        """The text in English."""
        pairs = zip(self.actors, self.clauses, strict=True)
        said = [f"the {actor} {verb} the {thing}" for actor, (verb, thing) in pairs]
        joined = f"{', '.join(said[:-1])} and {said[-1]}" if len(said) > 1 else said[0]
        return " ".join([*self.filling[: self.place], f"{joined.capitalize()}.", *self.filling[self.place :]])

    @property
    def row(self) -> dict[str, str]:
        """The row of a file."""
        return {"text": self.text, "label": self.label}


class Filling:
    """Lines of docstrings, those to train on and those held out."""

    def __init__(self, corpus: Path) -> None:
        found = docstring_task("classify", open_corpus(corpus))
        lines = {split: [(_cut(row["text"]), row["label"]) for row in rows] for split, rows in found.items()}
        self.lines = {"train": lines["train"], "held out": lines["validation"] + lines["test"]}

    def of(self, split: str, packages: Sequence[str] | None = None) -> list[str]:
        """Return the lines of a split, of ``packages`` alone where they are given."""
        return [line for line, package in self.lines[split] if packages is None or package in packages]

    @property
    def packages(self) -> list[str]:
        """The packages that lines are from."""
        return sorted({package for _, package in self.lines["train"]})


def _cut(line: str) -> str:
    """Return the first dozen words of a line, as a sentence."""
    return " ".join(line.split()[:12]).rstrip(" .,;:") + "."


def made(count: int, lines: Sequence[str], seed: int, *, clauses: int = 3, filling: int = 1) -> list[Made]:
    """Return ``count`` examples with so many clauses and sentences of filling."""
    chance = random.Random(seed)
    labels = list(KINDS)
    found = []
    for number in range(count):
        label = labels[number % len(labels)]
        kinds = [label, *chance.sample([kind for kind in labels if kind != label], clauses - 1)]
        parts = [(chance.choice(OTHERS), chance.choice(KINDS[kind])) for kind in kinds]
        parts[0] = (chance.choice(STORES), parts[0][1])
        chance.shuffle(parts)
        found.append(
            Made(
                tuple(parts),
                tuple(chance.sample(ACTORS, clauses)),
                tuple(chance.choice(lines) for _ in range(filling)),
                chance.randint(0, filling),
                label,
            )
        )
    chance.shuffle(found)
    return found


def flipped(examples: Sequence[Made], share: float, seed: int) -> list[Made]:
    """Return ``examples`` with ``share`` of the labels replaced by another, at random."""
    chance = random.Random(seed)
    others = {label: [kind for kind in KINDS if kind != label] for label in KINDS}
    return [
        replace(one, label=chance.choice(others[one.label])) if chance.random() < share else one for one in examples
    ]


def merged(examples: Sequence[Made], one: str, other: str, share: float, seed: int) -> list[Made]:
    """Return ``examples`` with ``share`` of the label ``one`` written as ``other``."""
    chance = random.Random(seed)
    return [replace(made, label=other) if made.label == one and chance.random() < share else made for made in examples]


def in_german(example: Made, seed: int) -> dict[str, str]:
    """Return a row that says the same in German."""
    chance = random.Random(seed)
    of_thing = {thing: kind for kind, things in KINDS.items() for thing in things}
    said = [
        f"der Dienst {'speichert' if verb in STORES else chance.choice(GERMAN_OTHERS)} "
        f"{chance.choice(GERMAN_KINDS[of_thing[thing]])}"
        for verb, thing in example.clauses
    ]
    sentence = f"{', '.join(said[:-1])} und {said[-1]}."
    parts = [chance.choice(GERMAN_FILLING) for _ in example.filling]
    return {"text": " ".join([sentence[0].upper() + sentence[1:], *parts]), "label": example.label}


def in_new_words(example: Made, seed: int) -> dict[str, str]:
    """Return a row whose longer words, and whose things, are names that no vocabulary knows."""
    chance = random.Random(seed)
    names = [f"{chance.choice(SYLLABLES)}{chance.choice(SYLLABLES)}{chance.choice(SYLLABLES)}" for _ in range(40)]
    things = {thing for things in KINDS.values() for thing in things}
    words = [
        chance.choice(names) if word.strip(".,") in things or (len(word) > 5 and chance.random() < 0.6) else word
        for word in example.text.split(" ")
    ]
    return {"text": " ".join(words), "label": example.label}


def rows_of(examples: Sequence[Made]) -> list[dict[str, Any]]:
    """Return the rows of a file."""
    return [one.row for one in examples]
