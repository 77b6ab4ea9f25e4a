"""``unmask limit``: training on a source whose best possible loss is known, and the way down to it."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import typer

from unmask import files
from unmask.cli.demo import free_name
from unmask.cli.figures import in_brackets
from unmask.cli.planning import PretrainSettings, seeded
from unmask.cli.pretrain import start_run
from unmask.cli.terminal import JsonFlag, QuietFlag, Report, SeedOption, Terminal, duration
from unmask.corpus.build import Source as TextSource
from unmask.corpus.build import build_corpus
from unmask.corpus.directory import Corpus
from unmask.corpus.tokenizer import TokenizerSettings, word_tokenizer
from unmask.evaluation.bound import require_possible_text, text_likelihood
from unmask.evaluation.limit import known_source, require_exact, require_possible, write_source
from unmask.evaluation.masked import FROZEN_MASKING, FROZEN_WINDOW, figures, freeze, score_frozen
from unmask.evaluation.samples import sample_figures
from unmask.inference.generation import GOES_ON, Way, asking, draw, read_for
from unmask.inference.loading import engine_of
from unmask.inference.resolve import resolve
from unmask.inference.torch_engine import read_model
from unmask.model.heads import MaskedLM
from unmask.objectives import ObjectiveName
from unmask.oracle.posterior import causal_losses, pseudo_losses
from unmask.oracle.sources import SOURCES, Source, Symbols, entropy_rate
from unmask.report.limit_page import memory_in_words, render_limit
from unmask.report.limit_text import sentence, text_in_words, where_asked
from unmask.runs import RunDirectory, refuse_occupied
from unmask.settings import read_settings
from unmask.stats import mean_by_cluster
from unmask.training.budget import parse_budget

TEXTS = 30_000
TEXT_LENGTH = FROZEN_WINDOW - 2
"""Symbols of a text: with [CLS] and [SEP] it fills a frozen window."""
MEASURED_TEXTS = 1000
"""Texts of their own, on which the least losses of other kinds of model are measured."""
SAMPLES = 64
"""Texts that are drawn from the model in each way."""
SWEEPS = 4
"""Of Gibbs sampling, from symbols that were drawn at once; each sweep runs the network once a symbol."""
FEW_STEPS = 16
"""Steps of unmasking that draw some eight symbols of a text at once."""

RECIPE: dict[str, Any] = {
    "corpus": {"document": "line", "near_duplicates": 1},  # texts are drawn apart, whatever they share is chance
    "masking": FROZEN_MASKING.model_dump(include={"mlm_probability", "mask_replace_prob", "random_replace_prob"}),
    "model": {"preset": "tiny", "hidden_size": 64},
    "optimizer": {"learning_rate": 5e-3},
    "training": {"eval_every": 50},
}
"""Some 100,000 parameters, trained with the masks that they are measured with (tuned on validation)."""


def limit(
    settings: Annotated[list[str] | None, typer.Argument(metavar="group.key=value", help="Settings.")] = None,
    objective: Annotated[ObjectiveName, typer.Option(help="What the network is trained to do.")] = "mlm",
    source: Annotated[Literal["markov", "hmm"], typer.Option(help="A chain, or a hidden Markov model.")] = "markov",
    symbols: Annotated[int, typer.Option(min=4, max=256, help="How many symbols the source has.")] = 32,
    out: Annotated[Path | None, typer.Option(help="Where all is written; by default unmask-limit here.")] = None,
    budget: Annotated[str, typer.Option(help="NUMBER(s|m|h|d|tok|steps): how long to train.")] = "5m",
    seed: SeedOption = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Train a small model on text whose best possible loss is known, and draw its way down to it."""
    terminal = Terminal(json=json, quiet=quiet)
    words = [*(settings or []), *seeded(seed), f"objective.name={objective}"]
    chosen = read_settings(PretrainSettings, overrides=words, defaults=RECIPE)
    require_exact(chosen.masking)
    parsed, out = parse_budget(budget), out or free_name("unmask-limit")
    refuse_occupied(out)
    with terminal.progress() as progress:
        known = SOURCES[source](symbols, np.random.Generator(np.random.Philox(chosen.training.seed)))
        corpus = source_corpus(known, source, TEXTS, out, chosen, progress)
        run = start_run(corpus, out / "run", chosen, parsed, progress)
        found = {
            **measured(run, corpus, known, chosen, progress),
            "source": about_source(known, source, chosen.training.seed),
        }
    files.write_json(out / "limit.json", found)
    files.write_bytes(out / "limit.html", render_limit(found, run.state, run.metrics()).encode())
    terminal.emit(found)
    _show(terminal, run, found)
    require_possible(found["mlm"]["limit"])
    require_possible_text(found["text"])
    terminal.next_step(f"open {out / 'limit.html'}")


def source_corpus(
    known: Source, name: str, texts: int, out: Path, chosen: PretrainSettings, progress: Report
) -> Corpus:
    """Build the corpus ``out``/corpus of ``texts`` texts of ``known``, through files of text as any other."""
    seed = chosen.training.seed
    words = [f"s{number}" for number in range(known.num_symbols)]
    symbols = known.sample(texts, TEXT_LENGTH, np.random.Generator(np.random.Philox(seed).jumped()))
    lines = (" ".join(words[symbol] for symbol in text) for text in symbols.tolist())
    out.mkdir(parents=True, exist_ok=True)
    text, tokenizer = out / "text.txt", out / "tokenizer.json"
    files.write_bytes(text, "".join(f"{line}\n" for line in lines).encode())
    files.write_bytes(tokenizer, word_tokenizer(words).to_str().encode())
    source = TextSource(name=name, where=str(text))
    corpus = build_corpus([source], out / "corpus", chosen.corpus, TokenizerSettings(path=tokenizer), progress)
    write_source(corpus, known, words, name, seed)
    return corpus


def about_source(known: Source, name: str, seed: int) -> dict[str, Any]:
    """Return what the best possible models of other kinds lose on ``known``, in nats a symbol, and its entropy rate."""
    texts = known.sample(MEASURED_TEXTS, TEXT_LENGTH, np.random.Generator(np.random.Philox(seed).jumped(2)))
    document = np.repeat(np.arange(len(texts)), TEXT_LENGTH)
    losses = {"causal": causal_losses(known, texts), "pseudo_likelihood": pseudo_losses(known, texts)}
    figures = {kind: mean_by_cluster(values.ravel(), document) for kind, values in losses.items()}
    return {
        "name": name,
        "symbols": known.num_symbols,
        "entropy_rate": entropy_rate(known),
        "least": {kind: figure and figure.plain() for kind, figure in figures.items()},
    }


def measured(
    run: RunDirectory, corpus: Corpus, known: Source, chosen: PretrainSettings, progress: Report
) -> dict[str, Any]:
    """Return all that is known of ``run``: on held-out text, on its own, of whole texts, and what it draws."""
    model, documents = read_model(resolve(run.path)), chosen.evaluation.documents
    return {
        "run": str(run.path),
        "objective": chosen.objective.name,
        **run.evaluation,
        "train": on_train(model, corpus, documents),
        "text": text_likelihood(model, corpus, documents),
        "samples": samples_of(run, corpus, known, chosen, progress),
    }


def ways_of(objective: ObjectiveName) -> list[Way]:
    """Return the ways to draw texts from a model that was trained by ``objective``."""
    onward = [Way("ancestral")] if objective in GOES_ON else []
    if objective == "clm":
        return onward
    return [*onward, *(Way("unmasking", steps) for steps in (TEXT_LENGTH, FEW_STEPS, 1)), Way("gibbs", SWEEPS)]


def samples_of(
    run: RunDirectory, corpus: Corpus, known: Source, chosen: PretrainSettings, progress: Report
) -> list[dict[str, Any]]:
    """Return how samples stand to ``known``: its own, independent symbols as frequent as its, and those of ``run``."""
    chance = np.random.Generator(np.random.Philox(chosen.training.seed).jumped(3))
    by_frequency = chance.choice(known.num_symbols, (SAMPLES, TEXT_LENGTH), p=known.frequencies)
    texts: dict[str, Symbols] = {
        "the source itself": known.sample(SAMPLES, TEXT_LENGTH, chance),
        "by frequency alone": by_frequency,
    }
    resolved, described, of = resolve(run.path), known_source(corpus), corpus.vocabulary
    assert described is not None, "the corpus was made of a known source"
    symbol_of = np.zeros(of.size, np.int64)
    symbol_of[described.token_ids] = np.arange(known.num_symbols)
    windows = np.full((SAMPLES, FROZEN_WINDOW), of.mask_id, np.int32)
    windows[:, 0], windows[:, -1] = of.cls_id, of.sep_id
    for way in ways_of(chosen.objective.name):
        ask = asking(engine_of(read_for(resolved, way.method)), of.ordinary_ids)
        told = partial(progress, f"drawing: {way.method}")
        drawn = draw(way, ask, windows, np.arange(1, FROZEN_WINDOW - 1), of, chance, told)
        texts[way.words] = symbol_of[drawn[:, 1:-1]]
    return [{"way": words, **sample_figures(known, of_way)} for words, of_way in texts.items()]


def on_train(model: MaskedLM, corpus: Corpus, documents: int) -> dict[str, Any]:
    """Return figures of ``model`` on text that it was trained on: below the limit there, it has learned by heart."""
    frozen = freeze(corpus, documents, "train", config=model.config)
    return figures(score_frozen(model, frozen), frozen)


def _show(terminal: Terminal, run: RunDirectory, found: dict[str, Any]) -> None:
    mlm, state, where = found["mlm"], run.state, where_asked(found)
    levels = (mlm["cross_entropy"], mlm["limit"]["cross_entropy"], mlm["unigram"])
    asked = list(levels[0]) if found["frozen"]["is_hidden"] else ["all"]
    rows = [(name, *(in_brackets(level[name]) for level in levels)) for name in asked]
    terminal.table(["held-out, in nats", "this model", "the best possible", "unigram line"], rows)
    captured = mlm["limit"]["captured"]
    terminal.result(
        f"{sentence(where)} {captured['value']:.1%} of the way from frequency to the limit is gone "
        f"({captured['low']:.1%} to {captured['high']:.1%});"
    )
    terminal.result(
        f"{state['tokens']:,} tokens in {duration(state['seconds'])}, {state['model']['parameters']:,} parameters."
    )
    terminal.result(memory_in_words(found["train"]["limit"]["above"]["masked"], where))
    terminal.result(text_in_words(found["text"]))
    _show_samples(terminal, found["samples"])


def _show_samples(terminal: Terminal, samples: list[dict[str, Any]]) -> None:
    rows = [(one["way"], in_brackets(one["nats"]), in_brackets(one["distance"])) for one in samples]
    terminal.table(["texts that were drawn", "nats a symbol", "distance of pairs"], rows, title="As a generator")
