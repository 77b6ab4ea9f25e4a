"""What every finished run gets: figures on the frozen set, example fills, a report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from unmask import files
from unmask.cli.general import forgotten
from unmask.cli.starting import require_same_tokenizer
from unmask.corpus.directory import Corpus
from unmask.evaluation.fills import example_fills
from unmask.evaluation.masked import HeldOut, figures, freeze, masked_evaluation, score_frozen
from unmask.inference.loading import predictor_of
from unmask.inference.resolve import resolve
from unmask.inference.resolved import Resolved
from unmask.inference.torch_engine import read_model, require_head
from unmask.report.run_page import RunData, render_run
from unmask.runs import RunDirectory

EXAMPLES = 6


def evaluate_model(found: Resolved, corpus: Corpus, documents: int, split: HeldOut = "validation") -> dict[str, Any]:
    """Return the unmask-evaluation of a model on the held-out documents of ``corpus``.

    Raises ModelError where the corpus was cut into tokens by another tokenizer than the model's, or the model has no
    head.
    """
    require_same_tokenizer(found, corpus)
    model = read_model(found)
    require_head(model)
    frozen = freeze(corpus, documents, split, config=found.config)
    scores = score_frozen(model, frozen)
    return masked_evaluation(found.origin, frozen, figures(scores, frozen))


def finish_run(
    run: RunDirectory, corpus: Corpus, documents: int, ending: Mapping[str, Any], general: Corpus | None = None
) -> dict[str, Any]:
    """Write evaluation.json, fills.json and report.html of ``run`` and return the evaluation.

    ``ending`` is what run.json will say once all of this is on the disk; the report says it already. ``general`` is
    text of which the run may have forgotten something.
    """
    found = resolve(run.path)
    evaluation = {**evaluate_model(found, corpus, documents), **forgotten(run, found, general, documents)}
    predictor = predictor_of(found)
    texts = (record["text"] for record in corpus.texts("validation"))
    fills = example_fills(predictor.fill, predictor.mask_token, found.tokenizer, texts, EXAMPLES)
    files.write_json(run.path / "evaluation.json", evaluation)
    files.write_json(run.path / "fills.json", {"fills": fills})
    write_report(run, ending)
    return evaluation


def write_report(run: RunDirectory, ending: Mapping[str, Any]) -> None:
    """Write report.html from the run's own files; ``ending`` is what run.json is about to say beside what it says."""
    fills = run.read("fills.json") or {"fills": []}
    page = render_run(
        RunData(
            run={**run.state, **ending},
            settings=run.settings,
            environment=run.read("environment.json") or {},
            metrics=run.metrics(),
            evaluation=run.read("evaluation.json"),
            fills=fills["fills"],
            corpus=run.read("corpus.json"),
        )
    )
    files.write_bytes(run.path / "report.html", page.encode())
