"""Which language a text is in, as far as its commonest words tell.

What bites: this tells slices apart, it does not name the language of a short text. A text without any such word is
"unclear"; in a script other than Latin it is named by the script.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from unmask.watch.scripts import scripts_of

UNCLEAR = "unclear"

COMMON = {
    "English": "the of and to in is that for it with as are be this by from or not on an if when which a",
    "German": "der die das und ist nicht ein eine zu mit von den dem auf für wird sich des im auch als bei wenn",
    "French": "le la les et des est une dans que pour qui sur pas du au avec par ce il ne sont si ou",
    "Spanish": "el los las y que en una por con para del se no es al lo como su más si o un está",
    "Italian": "il che di e la per non un una con sono del della le nel si come più se dal gli alla è",
    "Portuguese": "o que e do da em um para não uma os no se na por mais as dos como mas ao ele é são",
    "Dutch": "de het een en van is dat niet te op voor met zijn wordt als aan er door naar bij ook om of",
}
_WORDS = {language: frozenset(words.split()) for language, words in COMMON.items()}
_WORD = re.compile(r"[^\W\d_]+")


def language_of(text: str) -> str:
    """Return the language whose commonest words a text in Latin script has most of, or UNCLEAR."""
    words = [word.lower() for word in _WORD.findall(text)]
    counts = {language: sum(word in known for word in words) for language, known in _WORDS.items()}
    best, *rest = sorted(counts, key=lambda language: -counts[language])
    return best if counts[best] > counts[rest[0]] else UNCLEAR


def languages_of(texts: Sequence[str]) -> npt.NDArray[np.str_]:
    """Return (N,) the language of each text, the name of its script where that is not Latin."""
    scripts, _ = scripts_of(texts)
    pairs = zip(texts, scripts.tolist(), strict=True)
    return np.array(
        [f"{script} script" if script not in ("", "latin") else language_of(text) for text, script in pairs]
    )


def main_language(texts: Sequence[str]) -> str:
    """Return the language of most of ``texts``, UNCLEAR where there are none."""
    found = Counter(languages_of(texts).tolist())
    found.pop(UNCLEAR, None)
    return str(found.most_common(1)[0][0]) if found else UNCLEAR
