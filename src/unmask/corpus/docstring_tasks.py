"""The default tasks: examples made of the docstrings on this machine, labelled by the docstrings' own markup.

Tags come from Sphinx roles and backticks, with the markup gone from the text; answers are the descriptions of
parameters; classes are the packages. Every example belongs to the split of its docstring, so an encoder that was
pre-trained on the docstrings has seen no text of a test example. What bites: authors do not mark up everything, so some
words that ought to have a tag have none; the score of a perfect tagger is below 1, and only comparisons mean something.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from hashlib import blake2b
from typing import Any, Literal

from unmask.corpus.directory import Corpus
from unmask.corpus.docstrings import Documented, read_docstrings
from unmask.corpus.documents import document_id
from unmask.corpus.inline import Span
from unmask.corpus.split import SPLITS
from unmask.errors import DataError

Example = dict[str, Any]
DefaultTask = Literal["tag", "answer", "classify"]

ROLES = {
    "class": "class",
    "exc": "exception",
    "func": "function",
    "meth": "function",
    "attr": "attribute",
    "data": "attribute",
    "mod": "module",
}
"""Roles of the markup that name what a stretch is, and the tag it gets."""

UNCLEAR = ("name", "literal", "obj", "any", "code")
"""Roles that say only that it is code: it is a parameter where the docstring has one of that name, else unclear."""

FEWEST_WORDS, MOST_WORDS = 5, 60
"""Words of a sentence, and fewest of a passage to classify."""

PLAIN_KEPT = 0.16
"""Share of the sentences without any tag that is kept: half of the examples are then such."""

PACKAGES = 10
"""Classes: the packages with most passages."""
MOST_OF_A_PACKAGE = 600
"""Passages of one package and split, fewer where one of the packages has fewer: the classes are balanced."""

QUESTIONS_A_DOCSTRING = 2
"""So that long lists of parameters do not outweigh all else."""

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z\"'(])")
_TOKEN = re.compile(r"\w+(?:\.\w+)*|[^\w\s]")
_TYPE = r"(?: ?\([^()\n]*(?:\([^()\n]*\)[^()\n]*)*\))?"
_HEAD = re.compile(rf"(?:, [^\s:(]+)*{_TYPE}(?: ?:\s+| ?:?$)")  # from the first name of an entry to its description
_DESCRIBED = re.compile(rf"{_TYPE}: (?P<what>[^\n]{{9,}}?[^\n.:,])(?=\.(?:\s+[A-Z]|\s*$|\n)|\n|$)")
_PARAMETER = re.compile(r"\*{0,2}[^\W\d]\w*")
_QUESTIONS = (
    "What does the parameter {} of {} do?",
    "What is {} in {}?",
    "What should be given as {} to {}?",
    "What is the meaning of the argument {} of {}?",
)
_ABSENT_OF_TEN = 2  # questions in ten have no answer


def docstring_task(task: DefaultTask, corpus: Corpus) -> dict[str, list[Example]]:
    """Return the examples of ``task`` by split, each a row of the task's file format, in an order of no meaning.

    tag: ``tokens``, ``tags``; answer: ``id``, ``question``, ``context``, ``answers`` (``answer_start`` counts code
    points); classify: ``text``, ``label``.
    Deterministic for the same packages and corpus. Raises DataError where the corpus holds no docstrings.
    """
    split_of = _splits(corpus)
    found: dict[str, dict[str, Example]] = {name: {} for name in SPLITS}
    unclear: set[str] = set()
    for documented in read_docstrings():
        split = split_of.get(document_id(documented.text))
        for example in _MAKERS[task](documented) if split is not None else ():
            digest = _digest(example)
            if any(rows.get(digest, example) != example for rows in found.values()):
                unclear.add(digest)  # the same is asked elsewhere, with another answer
            found[str(split)][digest] = example
    found = {name: {key: row for key, row in rows.items() if key not in unclear} for name, rows in found.items()}
    if not all(found.values()):
        raise DataError(
            corpus.directory, "holds no docstrings of this machine; build it with: unmask corpus build docstrings"
        )
    seen = set(found["validation"]) | set(found["test"])
    found["train"] = {digest: example for digest, example in found["train"].items() if digest not in seen}
    found["validation"] = {digest: row for digest, row in found["validation"].items() if digest not in found["test"]}
    ordered = {name: [rows[digest] for digest in sorted(rows)] for name, rows in found.items()}
    return _balanced(ordered) if task == "classify" else ordered


def _splits(corpus: Corpus) -> dict[bytes, str]:
    """Return the split of every document by its id."""
    return {identity.tobytes(): name for name in SPLITS for identity in corpus.split(name).ids()}


def _digest(example: Mapping[str, Any]) -> str:
    """Name an example by what is asked, whatever the answer; the order of these names is the order of the examples."""
    asked = [example.get(key) for key in ("tokens", "text", "question", "context")]
    return blake2b(repr(asked).encode(), digest_size=12).hexdigest()


def _tagged(documented: Documented) -> Iterator[Example]:
    """Yield the sentences of a docstring that has markup, without those in which something marked is unclear."""
    parameters = {documented.text[span.start : span.end] for span in documented.spans if span.role == "param"}
    labelled = [(span, _label(documented.text[span.start : span.end], span, parameters)) for span in documented.spans]
    if not any(label for _, label in labelled):
        return
    heads = {span.start: span.end for span, _ in labelled}
    for start, end in _sentences(documented.text, heads):
        inside = [(span, label) for span, label in labelled if span.start < end and span.end > start]
        if any(label is None or span.start < start or span.end > end for span, label in inside):
            continue
        tokens, tags = _tokens(documented.text, start, end, inside)
        is_plain = not any(tag != "O" for tag in tags)
        if FEWEST_WORDS <= len(tokens) <= MOST_WORDS and not (is_plain and _chance(" ".join(tokens)) >= PLAIN_KEPT):
            yield {"tokens": tokens, "tags": tags}


def _chance(text: str) -> float:
    """Return a number in [0, 1) that hangs on ``text`` alone."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little") * 2.0**-64


def _label(text: str, span: Span, parameters: set[str]) -> str | None:
    """Return the tag of a marked stretch, None where the markup does not say what it is."""
    if span.role == "param":
        return "parameter"
    if span.role in ROLES:
        return ROLES[span.role]
    if span.role in UNCLEAR:
        return "parameter" if text in parameters else "function" if re.fullmatch(r"[\w.]+\(\)", text) else None
    return None


def _sentences(text: str, heads: Mapping[int, int]) -> Iterator[tuple[int, int]]:
    """Yield where the sentences of each line begin and end; of an entry ``name (type): text`` the text alone.

    A name at the head of an entry is known by its place; ``heads`` says where such names begin and end.
    """
    for line in re.finditer(r"[^\n]+", text):
        begin = line.start()
        if begin in heads and (head := _HEAD.match(text, heads[begin], line.end())):
            begin = head.end()
        for found in _SENTENCE_END.finditer(text, begin, line.end()):
            yield begin, found.start()
            begin = found.end()
        yield begin, line.end()


def _tokens(text: str, start: int, end: int, spans: list[tuple[Span, str | None]]) -> tuple[list[str], list[str]]:
    """Return words and BIO tags; brackets that only say that a name is a function are left out."""
    tokens, tags, inside = [], [], None
    for found in _TOKEN.finditer(text, start, end):
        of = next(((span, label) for span, label in spans if span.start <= found.start() < span.end), None)
        if of and found[0] in "()" and text[found.start() : of[0].end] in ("()", ")"):
            continue
        tokens.append(found[0])
        tags.append("O" if of is None else f"{'I' if of[0] is inside else 'B'}-{of[1]}")
        inside = of[0] if of else None
    return tokens, tags


def _asked(documented: Documented) -> Iterator[Example]:
    """Yield questions about described parameters, and now and then about one that this docstring has not."""
    described: dict[str, re.Match[str]] = {}
    for span in documented.spans:
        name = documented.text[span.start : span.end]
        found = _DESCRIBED.match(documented.text, span.end) if span.role == "param" else None
        at_head = span.start == 0 or documented.text[span.start - 1] == "\n"
        if found and at_head and _PARAMETER.fullmatch(name):
            described.setdefault(name, found)
    chances = {name: blake2b(f"{documented.name} {name}".encode(), digest_size=4).digest() for name in described}
    for name in sorted(described, key=lambda name: (chances[name], name))[:QUESTIONS_A_DOCSTRING]:
        found, chance = described[name], chances[name][1:]
        asked, answers = name, [{"text": found["what"], "answer_start": found.start("what")}]
        if chance[0] % 10 < _ABSENT_OF_TEN:
            asked, answers = _ABSENT[chance[1] % len(_ABSENT)], []
            if re.search(rf"\b{asked}\b", documented.text):
                continue
        question = _QUESTIONS[chance[2] % len(_QUESTIONS)].format(asked, _said(documented.name))
        row = {"question": question, "context": documented.text, "answers": answers}
        yield {"id": _digest(row), **row}


def _said(name: str) -> str:
    """Return a dotted name as people say it: its last two parts, without modules that are private."""
    *above, last = name.split(".")
    return ".".join([*[part for part in above if not re.match(r"_[a-z]", part)], last][-2:])


_ABSENT = (
    "alpha", "axis", "batch_size", "callback", "copy", "device", "dtype", "encoding", "index", "key", "max_iter",
    "mode", "n_jobs", "name", "order", "out", "path", "random_state", "shape", "size", "threshold", "timeout", "tol",
    "weights",
)  # fmt: skip
"""Parameters that are common elsewhere, to ask about where they are not."""


def _placed(documented: Documented) -> Iterator[Example]:
    """Yield the passages of a docstring that do not name its package, not even as a part of another name."""
    names = _ALIASES.get(documented.package, re.compile(re.escape(documented.package), re.IGNORECASE))
    for line in documented.text.splitlines():
        if len(re.findall(r"\w+", line)) >= 2 * FEWEST_WORDS and not names.search(line):
            yield {"text": line, "label": documented.package}


_ALIASES = {
    package: re.compile(names, re.IGNORECASE)
    for package, names in {
        "huggingface_hub": r"hugging.?face|\bhf|_hf",
        "matplotlib": r"matplotlib|pyplot|\b(?:mpl|plt)(?:\b|_)",
        "networkx": r"networkx|\bnx\b",
        "numpy": r"numpy|\bnp\b",
        "sklearn": r"sklearn|scikit",
        "torch": r"torch|\baten\b",
        "PIL": r"\bpil\b|pillow",
    }.items()
}
"""Where a package goes by more than its name."""


def _balanced(splits: dict[str, list[Example]]) -> dict[str, list[Example]]:
    """Return passages of the commonest packages, of each as many as the rarest of them has (MOST_OF_A_PACKAGE)."""
    counts = Counter(example["label"] for example in splits["train"])
    kept = set(sorted(counts, key=lambda label: (-counts[label], label))[:PACKAGES])
    found: dict[str, list[Example]] = {}
    for name, examples in splits.items():
        most = min(MOST_OF_A_PACKAGE, *Counter(row["label"] for row in examples if row["label"] in kept).values())
        taken: Counter[str] = Counter()
        found[name] = []
        for example in examples:
            label = example["label"]
            taken[label] += 1
            if label in kept and taken[label] <= most:
                found[name].append(example)
    return found


_MAKERS: dict[DefaultTask, Callable[[Documented], Iterator[Example]]] = {
    "tag": _tagged,
    "answer": _asked,
    "classify": _placed,
}
