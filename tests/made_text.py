"""English-like text of any amount, the same every time, for tests that need a corpus."""

from __future__ import annotations

import random
from pathlib import Path

SUBJECTS = "array matrix parser server reader writer kernel buffer window cursor".split()
VERBS = "returns copies reads sorts joins splits checks stores counts moves".split()
PLACES = "memory storage order place parallel sequence batches pieces silence time".split()
QUALITIES = "small large sorted empty remote hidden shared frozen broken simple".split()


def sentences(count: int, seed: int = 0) -> list[str]:
    """Return ``count`` sentences; subject and verb hang together, so that there is something to learn."""
    chance = random.Random(seed)
    made = []
    for _ in range(count):
        subject = chance.randrange(10)
        verb = VERBS[(subject + chance.randrange(2)) % 10]
        words = [chance.choice(QUALITIES), SUBJECTS[subject], verb, "the", chance.choice(QUALITIES)]
        made.append(
            f"The {' '.join(words)} {chance.choice(SUBJECTS)} in {chance.choice(PLACES)} {chance.randrange(100)} times."
        )
    return made


def write_text(path: Path, documents: int = 400, seed: int = 0) -> Path:
    """Write a text file of ``documents`` paragraphs and return its path."""
    lines, chance = iter(sentences(documents * 4, seed)), random.Random(seed)
    path.write_text("\n\n".join(" ".join(next(lines) for _ in range(chance.randint(1, 4))) for _ in range(documents)))
    return path
