"""How a model is used, as code that a reader can paste: with transformers, with this package, with others.

What bites: the tests run every block, so each must work as it stands, beside the folder or with the hub's name.
"""

from __future__ import annotations

import json

from unmask.report.markdown import code

_PIPELINES = {
    "classify": ("text-classification", "", "This is what it was made to read."),
    "tag": ("token-classification", ', aggregation_strategy="simple"', "This is what it was made to read."),
}
_TEXTS = '["One text.", "Another text."]'


def how_to_use(name: str, task: str, mask_token: str) -> list[str]:
    """Return blocks of code that use the model ``name``, which was made for ``task``: fill, classify, tag, ..."""
    where, gap = _quoted(name), _quoted(f"The {mask_token} is on the table.")
    unmask_lines = {
        "fill": [f"print(model.fill([{gap}]))", f"print(model.embed({_TEXTS}).shape)"],
        "classify": [f"print(model.classify({_TEXTS}))"],
        "tag": [f"print(model.tag({_TEXTS}))"],
        "answer": ['print(model.answer(["What is on the table?"], ["There is a book on the table."]))'],
        "embed": [f"print(model.similarity({_TEXTS}, {_TEXTS}))"],
    }[task]
    ours = ["import unmask", "", f"model = unmask.load({where})", *unmask_lines]
    return [*map(code, _transformers(where, task, gap)), code(ours), *map(code, _sentence_transformers(where, task))]


def _transformers(where: str, task: str, gap: str) -> list[list[str]]:
    if task == "embed":
        return []
    if task == "answer":
        return [_ANSWER.format(where=where).splitlines()]
    kind, more, text = ("fill-mask", "", gap) if task == "fill" else _PIPELINES[task]
    text = text if task == "fill" else _quoted(text)
    return [
        [
            "from transformers import pipeline",
            "",
            f'use = pipeline("{kind}", model={where}{more})',
            f"print(use({text}))",
        ]
    ]


def _sentence_transformers(where: str, task: str) -> list[list[str]]:
    if task not in ("fill", "embed"):
        return []
    return [
        [
            "from sentence_transformers import SentenceTransformer",
            "",
            f"model = SentenceTransformer({where})",
            f"print(model.encode({_TEXTS}).shape)",
        ]
    ]


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


_ANSWER = """\
from transformers import AutoModelForQuestionAnswering, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained({where})
model = AutoModelForQuestionAnswering.from_pretrained({where})
inputs = tokenizer("What is on the table?", "There is a book on the table.", return_tensors="pt")
scores = model(**inputs)
start, end = int(scores.start_logits.argmax()), int(scores.end_logits.argmax())
print(tokenizer.decode(inputs["input_ids"][0, start : end + 1]))"""
