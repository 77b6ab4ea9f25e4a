"""The report of a run: what it says, that nothing injects, and that missing parts never break it."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import math
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markupsafe import Markup

from unmask.report import RunData, charts, learning, render_run
from unmask.report.passages import passages

VOID = {"meta", "br", "link", "img", "hr", "input"}


def example_run() -> RunData:
    """A run as five minutes on two cores leave it: 2.4 million tokens, twelve evaluations, a hundred records."""
    steps, tokens, seconds = 950, 2_412_345, 303.0
    unigram = dict.fromkeys(("masked", "random", "kept", "all"), 6.02)

    def fall(start: float, end: float, share: float, pace: float) -> float:
        return end + (start - end) * (math.exp(-pace * share) - math.exp(-pace) * share)

    metrics: list[dict[str, Any]] = []
    for record in range(1, 101):
        share = record / 100
        wobble = 0.12 * math.sin(37.0 * record) * math.cos(5.0 * record)
        parts = {
            "masked": fall(9.0, 4.1, share, 4) + wobble,
            "random": fall(9.2, 4.9, share, 3),
            "kept": fall(9.0, 0.6, share, 9),
        }
        common = {"attempt": 1, "tokens": int(tokens * share), "seconds": round(seconds * share, 1)}
        step = round(steps * share)
        loss = 0.8 * parts["masked"] + 0.1 * parts["random"] + 0.1 * parts["kept"]
        metrics.append(
            {
                "kind": "train",
                "step": step,
                "loss": loss,
                **parts,
                "learning_rate": 0.003,
                "gradient_norm": 1.1,
                **common,
            }
            | {"tokens_per_second": 8123.4 + 90 * math.sin(record), "loader_wait": 0.002}
        )
        if record % 9 == 1:
            masked = fall(9.0, 4.02, share, 4)
            metrics.append(
                {"kind": "evaluation", "step": step, **common, "masked": masked, "random": fall(9.1, 4.83, share, 3)}
                | {"kept": fall(9.0, 0.61, share, 9), "all": masked - 0.3, "unigram": unigram}
                | {"accuracy": {"1": 0.29 * share**0.5, "5": 0.48 * share**0.5}}
            )
    return RunData(
        run=_RUN,
        settings=_SETTINGS,
        environment=_ENVIRONMENT,
        metrics=metrics,
        evaluation=_EVALUATION,
        fills=_FILLS,
        corpus=_CORPUS,
    )


def _figure(value: float, half: float, n: int = 5120) -> dict[str, Any]:
    return {"value": value, "low": value - half, "high": value + half, "n": n, "level": 0.95, "method": "bootstrap"}


def _hidden(text: str, *guesses: tuple[str, float]) -> dict[str, Any]:
    return {
        "text": text,
        "hidden": True,
        "predictions": [{"token": token, "probability": share} for token, share in guesses],
    }


def _shown(text: str) -> dict[str, Any]:
    return {"text": text, "hidden": False}


_RUN: dict[str, Any] = {
    "format": "unmask-run", "version": 1, "kind": "pretrain", "status": "finished", "attempt": 1, "step": 950,
    "max_steps": 950, "parent": None, "corpus": {"path": "corpora/docstrings", "fingerprint": "5ae1b0c4"}, "task": None,
    "created": "2025-11-24T05:55:00+00:00", "rows_consumed": 30400, "packing": 0.981, "num_rows": 20000,
    "peak_memory": 1_234_567_890,
    "model": {"preset": "mini", "parameters": 5_312_000},
    "mask_rates": {
        "tokens": 96_925, "selected": 0.3002, "masked": 0.2403, "random": 0.0298, "kept": 0.0301,
        "windows_unasked": 0.008,
    },
}  # fmt: skip
_SETTINGS: dict[str, Any] = {
    "model": {"preset": "mini", "hidden_size": 256, "num_hidden_layers": 4},
    "masking": {
        "unit": "token",
        "mlm_probability": 0.3,
        "mask_replace_prob": 0.8,
        "random_replace_prob": 0.1,
        "schedule": "constant",
    },
    "optimizer": {"name": "adamw", "learning_rate": 0.003, "betas": [0.9, 0.98], "weight_decay": 0.01},
    "training": {"row_length": 128, "batch_rows": 32, "deterministic": True, "ema": None},
}
_ENVIRONMENT: dict[str, Any] = {"python": "3.11.2", "torch": "2.13.0", "machine": "x86_64", "threads": 2, "bf16": True}
_EVALUATION: dict[str, Any] = {
    "format": "unmask-evaluation", "version": 1, "model": {"name": "demo"},
    "frozen": {"fingerprint": "c0ffee12", "window": 128, "mlm_probability": 0.15, "documents": 400},
    "mlm": {
        "cross_entropy": {
            "masked": _figure(4.02, 0.04), "random": _figure(4.83, 0.1),
            "kept": _figure(0.61, 0.05), "all": _figure(3.75, 0.04),
        },
        "unigram": {kind: _figure(6.02, 0.05) for kind in ("masked", "random", "kept", "all")},
        "gap": _figure(2.00, 0.03),
        "limit": None,
        "accuracy": {"masked": {"1": _figure(0.291, 0.01), "5": _figure(0.482, 0.012)}},
        "bits_per_character": _figure(1.31, 0.01),
        "accuracy_by_frequency": [
            {"bucket": "1 to 9", "accuracy": {"1": _figure(0.02, 0.01), "5": _figure(0.05, 0.02)}},
            {"bucket": "10 to 99", "accuracy": {"1": _figure(0.08, 0.01), "5": _figure(0.19, 0.02)}},
            {"bucket": "100 to 999", "accuracy": {"1": _figure(0.21, 0.01), "5": _figure(0.41, 0.02)}},
            {"bucket": "1,000 or more", "accuracy": {"1": _figure(0.45, 0.01), "5": _figure(0.70, 0.02)}},
        ],
    },
}  # fmt: skip
_FILLS: list[dict[str, Any]] = [
    {"pieces": [
        _shown("Return the "),
        _hidden("number", ("number", 0.61), ("index", 0.12), ("length", 0.09), ("value", 0.05), ("size", 0.03)),
        _shown(" of dimensions of an"),
        _hidden(" array", ("object", 0.31), ("array", 0.27), ("iterable", 0.08), ("image", 0.04), ("input", 0.02)),
        _shown(". If the input is not already an array, it is "),
        _hidden("converted", ("convert", 0.22), ("ignored", 0.11), ("used", 0.07), ("assumed", 0.06), ("set", 0.004)),
        _shown(" first."),
    ]},
    {"pieces": [
        _shown("Raise an exception when the "),
        _hidden("file", ("file", 0.44), ("path", 0.2), ("name", 0.1), ("module", 0.04), ("directory", 0.04)),
        _shown(" can not be opened for reading, and close every handle that was "),
        _hidden("acquired", ("##ed", 0.2), ("internationalisation", 0.1), ("created", 0.1), ("used", 0.04)),
        _shown(" before."),
    ]},
    {"pieces": [
        _shown("הפונקציה מחזירה את "),
        _hidden("הערך", ("הערך", 0.3), ("המספר", 0.2), ("הרשימה", 0.1), ("הקובץ", 0.05), ("השם", 0.02)),
        _shown(" הגדול ביותר 🙂."),
    ]},
]  # fmt: skip
_CORPUS: dict[str, Any] = {
    "format": "unmask-corpus", "version": 1, "fingerprint": "5ae1b0c4", "tokenizer_fingerprint": "77aa01fe",
    "vocab_size": 8192,
    "sources": [
        {"name": "docstrings", "where": "docstrings", "weight": 1.0, "documents": 61234, "characters": 21_400_000}
    ],
    "documents": {"read": 70123, "kept": 61234, "exact_duplicates": 8889, "near_duplicates": 9120, "clusters": 2310},
    "refused": {"invalid UTF-8": {"count": 3, "first": "notes/a.txt:17"}},
    "splits": {
        "train": {"documents": 58112, "tokens": 4_410_220, "words": 3_320_118, "characters": 20_300_000, "shards": 1},
        "validation": {"documents": 1561, "tokens": 118_233, "words": 88_020, "characters": 541_000, "shards": 1},
        "test": {"documents": 1561, "tokens": 119_020, "words": 88_911, "characters": 546_000, "shards": 1},
    },
    "overlap_8gram": {"validation": 0.12, "test": 0.11}, "checksums": {}, "settings": {},
}  # fmt: skip


class Outline(HTMLParser):
    """What a reader or a screen reader meets: tags, headings, ids, text; refuses markup that is not balanced."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.headings: list[tuple[int, str]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(page)
        self.close()
        assert not self._open, f"never closed: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if re.fullmatch("h[1-6]", tag):
            self.headings.append((int(tag[1]), ""))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open, f"closed but never opened: {tag}"
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self._open:
            self.text += data
        if self._open and re.fullmatch("h[1-6]", self._open[-1]):
            level, text = self.headings[-1]
            self.headings[-1] = (level, text + data)

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def page() -> str:
    return render_run(example_run())


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the drawing out, which is what takes the time."""
    monkeypatch.setattr(charts, "_svg", lambda name, **_: Markup("<svg></svg>"))


def test_a_reader_gets_the_finding_in_words_and_figures(page: str) -> None:
    outline = Outline(page)
    assert outline.headings[0] == (1, "2.0 nats better than guessing by frequency")
    for words in (
        "finds the right token 7.4 times as probable",
        "4.02 [3.98, 4.06] nats per token",
        "95\u202f% interval [3.98, 4.06]",
        "95\u202f% interval [1.97, 2.03]",
        "5 min 3 s",
        "guessing blindly among 8,192 tokens",
        "29.1\u202f% [28.1, 30.1]",
        "Do not compare it with a run of another mask rate",
    ):
        assert words in outline.text
    assert re.search(r"2\.41\s+million", outline.text)


def test_the_page_is_one_file_without_scripts_or_network(page: str) -> None:
    outline = Outline(page)
    assert not {"script", "img", "link", "iframe", "object", "base"} & {tag for tag, _ in outline.tags}
    for _, attributes in outline.tags:
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name in ("href", "src", "xlink:href"):
                assert value is not None
                assert value.startswith("#")
    assert not re.search(r"@import|url\((?!#)", page)


def test_headings_ids_tables_and_drawings_are_accessible(page: str) -> None:
    outline = Outline(page)
    levels = [level for level, _ in outline.headings]
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    ids = [attributes["id"] for _, attributes in outline.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {str(link["href"])[1:] for link in outline.named("a")} <= set(ids)
    assert all(cell.get("scope") in ("row", "col") for cell in outline.named("th"))
    drawings = outline.named("svg")
    assert len(drawings) == 8
    for drawing in drawings:
        assert drawing["role"] == "img"
        assert set(str(drawing["aria-labelledby"]).split()) <= set(ids)
    assert "masked from 8.80 to 4.02" in page
    assert outline.named("html")[0]["lang"] == "en"


def test_the_same_run_gives_the_same_bytes(page: str) -> None:
    assert render_run(example_run()) == page


def _luminance(colour: str) -> float:
    shares = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    red, green, blue = (s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_contrast_reaches_wcag_aa(page: str, scheme: int) -> None:
    colours = dict(
        re.findall(r"--([\w-]+): (#[0-9a-f]{6})", re.findall(r":root \{(.*?)\}", page, flags=re.DOTALL)[scheme])
    )
    words = ["ink", "muted", "link", *(f"series-{place}" for place in range(1, 5))]
    pairs = [(text, ground) for text in words for ground in ("page", "surface")] + [("ink", "hidden")]
    for text, ground in pairs:
        dark, bright = sorted((_luminance(colours[text]), _luminance(colours[ground])))
        assert (bright + 0.05) / (dark + 0.05) >= 4.5, (text, ground)


@pytest.mark.parametrize(
    ("masked", "half", "title"),
    [
        (4.02, 0.04, "2.0 nats better than guessing by frequency"),
        (5.81, 0.04, "0.21 nats better than guessing by frequency"),
        (5.97, 0.04, "Not shown to be better than guessing by frequency"),
        (6.06, 0.04, "Not shown to be better than guessing by frequency"),
        (7.52, 0.04, "1.5 nats worse than guessing by frequency"),
    ],
)
def test_the_title_claims_no_more_than_the_intervals_allow(quick: None, masked: float, half: float, title: str) -> None:
    evaluation = {
        "mlm": {"cross_entropy": {"masked": _figure(masked, half)}, "unigram": {"masked": _figure(6.02, 0.05)}}
    }
    outline = Outline(render_run(RunData(run=_RUN, evaluation=evaluation)))
    assert outline.headings[0][1] == title


@pytest.mark.parametrize(("half", "word"), [(0.04, "0.06 nats better"), (0.08, "Not shown to be better")])
def test_a_paired_gap_decides_where_it_was_measured(quick: None, half: float, word: str) -> None:
    mlm = {"cross_entropy": {"masked": _figure(5.96, 0.2)}, "unigram": {"masked": _figure(6.02, 0.2)}}
    page = render_run(RunData(run=_RUN, evaluation={"mlm": mlm | {"gap": _figure(0.06, half)}}))
    assert Outline(page).headings[0][1].startswith(word)


def test_without_a_final_evaluation_the_last_one_on_the_way_speaks_and_says_so(quick: None) -> None:
    data = dataclasses.replace(example_run(), evaluation=None, run=_RUN | {"status": "stopped", "step": 400})
    text = Outline(render_run(data)).text
    assert "2.0 nats better" in text
    assert "no interval was computed" in text
    assert "The run was stopped before its end" in text
    assert "The evaluation at the end is missing" in text


def test_a_run_of_which_nothing_is_known_is_still_a_page() -> None:
    outline = Outline(render_run(RunData(run={})))
    assert outline.headings[0] == (1, "Not evaluated yet")
    assert [title for level, title in outline.headings if level == 2] == ["Learning curve", "What this run is not for"]


def test_a_known_limit_is_drawn_and_a_diverged_loss_is_called_out() -> None:
    data = copy.deepcopy(example_run())
    assert data.evaluation is not None
    data.evaluation["mlm"]["limit"] = {"cross_entropy": {"masked": _figure(3.10, 0.01)}}
    for line in data.metrics:
        if line["step"] > 700:
            line["loss"] = float("nan")  # type: ignore[index]
    page = render_run(data)
    assert ">limit 3.10</text>" in page
    assert "the limit: no model can do better" in page
    assert "The loss was not a finite number in 27 of 100 records, first at step 703" in page


def test_a_long_run_does_not_make_a_large_page(quick: None, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: dict[str, charts.Series] = {}

    def line_chart(name: str, *, title: str, series: list[charts.Series], **_: Any) -> charts.Chart:
        drawn[title] = series[0]
        return charts.Chart(title=title, description="", wide=Markup(""), narrow=Markup(""))

    monkeypatch.setattr(learning, "line_chart", line_chart)
    metrics = [
        {"kind": "train", "step": step, "tokens": 1000 * step, "loss": 4.0 + step % 2} for step in range(1, 6001)
    ]
    render_run(RunData(run={}, metrics=metrics))
    line = drawn["Training loss, all positions asked for, means of 10 records"]
    assert len(line.x) == 600
    assert set(line.y) == {4.5}
    assert line.x[-1] == pytest.approx(6.0)


def test_fills_show_what_was_hidden_and_how_it_went(page: str) -> None:
    first, second, hebrew = passages(_FILLS)
    assert [(piece.text, piece.rank, piece.outcome) for piece in first.hidden] == [
        ("number", 1, "right"),
        ("array", 2, "near"),
        ("converted", None, "missed"),
    ]
    assert first.hidden[1].before == " "
    assert [guess.width for guess in second.hidden[0].guesses] == [44.0, 20.0, 10.0, 4.0, 4.0]
    assert '<span style="width:61.0%"></span></span><span class="score">61\u202f%</span>' in page
    assert 'an <mark class="near">array<sup>2</sup></mark>. If the input' in page
    assert hebrew.place == 3


def test_a_missed_word_shows_the_probability_that_it_was_given() -> None:
    def verdict(probability: object) -> str:
        hidden = {"text": "word", "hidden": True, "probability": probability, "predictions": []}
        return passages([{"pieces": [hidden]}])[0].hidden[0].verdict

    shown = [verdict(probability) for probability in (0.0421, 0.0004, None)]
    assert shown == ["✗ missed (4.2\u202f%)", "✗ missed (under 0.1\u202f%)", "✗ missed"]


def cells(page: str, heading: str, caption: str = "") -> list[str]:
    """Return the figures of the first table row under ``heading`` in or after the table ``caption``."""
    page = page[page.index(f"<caption>{caption}") :]
    row = re.search(rf'<th scope="row">{re.escape(heading)}</th>(.*?)</tr>', page, flags=re.DOTALL)
    assert row is not None, heading
    return re.findall(r"<td[^>]*>(.*?)</td>", row[1])


def test_the_data_card_counts_tokens_per_word_and_overlap(page: str) -> None:
    assert cells(page, "tokens") == ["4,410,220", "118,233", "119,020"]
    assert cells(page, "tokens per word")[1] == "1.34"
    assert cells(page, "8-grams that train has too") == ["\u2013", "12.0\u202f%", "11.0\u202f%"]
    assert cells(page, "of these, near copies of another") == ["9,120"]
    assert "Near duplicates stay together in one split" in page


def test_the_data_card_claims_no_search_for_near_duplicates_that_was_not_made(quick: None) -> None:
    corpus = _CORPUS | {"settings": {"corpus": {"near_duplicates": 1.0}}}
    page = render_run(dataclasses.replace(example_run(), corpus=corpus))
    assert "Near duplicates were not looked for" in page
    assert "near copies" not in page
    assert cells(page, "corpus.near_duplicates") == ["1.0"]


def test_accuracy_by_frequency_has_intervals_and_its_figures_in_a_table(page: str) -> None:
    bucket = {"bucket": "0", "positions": 17, "accuracy": {"1": _figure(0.25, 0.25)}, "cross_entropy": _figure(9, 1)}
    mlm = {"accuracy_by_frequency": [bucket]}
    other = render_run(RunData(run={}, evaluation={"mlm": mlm}))
    assert "token never seen in the training text: at 1: 25\u202f%." in other
    assert cells(other, "0") == ["17", "25.0\u202f% [0.0, 50.0]", "\u2013", "9.00 [8.00, 10.00]", "\u2013"]
    assert "token seen 10 to 99 times in the training text: at 1: 8\u202f%, at 5: 19\u202f%" in page


def test_what_the_run_cost_and_how_often_it_went_through_its_text(page: str) -> None:
    text = Outline(page).text
    assert re.search(r"Peak memory\s+1\.23\s+GB", text)
    assert re.search(r"Packing\s+98\.1", text)
    assert "1.5 passes over the training text" in text


def test_mask_rates_stand_beside_the_recipe(quick: None, page: str) -> None:
    assert cells(page, "selected, in all") == ["30.00\u202f%", "30.02\u202f%"]
    assert cells(page, "masked: shown as [MASK]", "Mask rates") == ["24.00\u202f%", "24.03\u202f%"]
    assert "on the first 96,925 tokens of the run. In 0.8\u202f% of the windows nothing was selected" in page
    falling = _SETTINGS | {"masking": _SETTINGS["masking"] | {"schedule": "linear", "final_probability": 0.15}}
    rates = _RUN["mask_rates"] | {"end": _RUN["mask_rates"] | {"selected": 0.151, "masked": 0.121}}
    other = render_run(dataclasses.replace(example_run(), settings=falling, run=_RUN | {"mask_rates": rates}))
    assert cells(other, "selected, in all") == ["30.00\u202f%", "30.02\u202f%", "15.00\u202f%", "15.10\u202f%"]


def test_a_part_that_is_off_is_said_in_words(quick: None, page: str) -> None:
    assert "not those that the recipe asks for" not in page
    cell = {"tokens": 900, "selected": 0.2, "masked": 0.16, "random": 0.02, "kept": 0.02, "recipe": 0.3, "error": 0.01}
    parts = {"word_length": [cell | {"name": "1 token", "is_off": False}, cell | {"name": "5 tokens", "is_off": True}]}
    more = {"by": parts, "is_off": False, "recipe": 0.3, "window_shares": [0.1, 0.3, 0.5]}
    other = render_run(dataclasses.replace(example_run(), run=_RUN | {"mask_rates": _RUN["mask_rates"] | more}))
    assert "not those that the recipe asks for, by more than chance allows. Look at: 5 tokens." in Outline(other).text
    assert "Nine in ten have 10\u202f% to 50\u202f% of their tokens selected." in Outline(other).text
    assert cells(other, "5 tokens") == [
        "900", "30.00\u202f%", "20.00\u202f%", "16.00\u202f%", "2.00\u202f%", "2.00\u202f%",
    ]  # fmt: skip


HOSTILE = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>--></svg></style>{{ 7*7 }}$\\frac{1}{0}$"


def _poison(value: Any) -> Any:
    """Put the hostile text into every text and key of a JSON value that the report does not look up by name."""
    if isinstance(value, dict):
        return {key: _poison(item) for key, item in value.items()} | {HOSTILE: HOSTILE}
    if isinstance(value, list):
        return [_poison(item) for item in value]
    return HOSTILE + value if isinstance(value, str) and value not in ("train", "evaluation") else value


def test_hostile_text_anywhere_stays_text(page: str) -> None:
    data = example_run()
    poisoned = {spot.name: _poison(getattr(data, spot.name)) for spot in dataclasses.fields(data)}
    outline = Outline(render_run(RunData(**poisoned)))
    assert {tag for tag, _ in outline.tags} <= {tag for tag, _ in Outline(page).tags}
    assert not any(name.startswith("on") for _, attributes in outline.tags for name in attributes)
    assert outline.text.count("<script>alert(1)</script>") > 60
    assert "{{ 7*7 }}$\\frac{1}{0}$1 to 9 times" in outline.text


def _paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(deeper for key, item in inner for deeper in _paths(item, (*path, key)))]


FIELDS = {spot.name: getattr(example_run(), spot.name) for spot in dataclasses.fields(RunData)}
FIELDS["metrics"] = FIELDS["metrics"][:3] + FIELDS["metrics"][-1:]
NESTED = [path for path in _paths(FIELDS) if len(path) >= 2]
ODD: list[Any] = [None, "text", [], {}, -1, 0, float("nan"), float("inf"), True, [None], [{}], {"value": None}]


@settings(max_examples=250, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(NESTED), st.sampled_from(ODD)), min_size=1, max_size=4))
def test_a_value_of_any_kind_anywhere_never_breaks_the_page(changes: list[tuple[tuple[Any, ...], Any]]) -> None:
    fields = copy.deepcopy(FIELDS)
    for path, odd in changes:
        spot = fields
        for key in path[:-1]:
            try:
                spot = spot[key]
            except (KeyError, IndexError, TypeError):
                break
        else:
            if isinstance(spot, dict) or (isinstance(spot, list) and len(path) > 2):
                spot[path[-1]] = odd
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(charts, "_svg", lambda name, **_: Markup("<svg></svg>"))
        assert Outline(render_run(RunData(**fields))).headings[0][0] == 1


@pytest.mark.parametrize("name", [spot.name for spot in dataclasses.fields(RunData) if spot.name != "run"])
def test_a_missing_file_leaves_a_page_with_all_its_drawings(name: str) -> None:
    rest = {spot.name: getattr(example_run(), spot.name) for spot in dataclasses.fields(RunData) if spot.name != name}
    assert Outline(render_run(RunData(**rest))).named("svg")
