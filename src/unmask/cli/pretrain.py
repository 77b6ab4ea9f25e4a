"""``unmask pretrain``: from a corpus and a recipe to a run directory, and on from where a run stopped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from os import PathLike, fspath
from pathlib import Path
from typing import Annotated

import typer

from unmask.cli.corpus import open_or_build, training_corpus
from unmask.cli.figures import print_figures, print_forgotten, progress_of
from unmask.cli.general import general_again, losses_before, named, open_general
from unmask.cli.measure import finish_run
from unmask.cli.planning import (
    PretrainSettings,
    masking_with,
    max_steps_for,
    of_length,
    plan_for,
    recipe_and_words,
    seeded,
    step_batches,
)
from unmask.cli.starting import (
    carried_file,
    first_model,
    parent_again,
    parent_of,
    require_sense,
    shape_for,
    tokenizer_settings,
)
from unmask.cli.terminal import JsonFlag, QuietFlag, Report, SeedOption, Terminal, progress_for
from unmask.corpus.directory import Corpus
from unmask.errors import RunError, SettingError, Stopped
from unmask.inference.resolve import resolve
from unmask.inference.resolved import Resolved
from unmask.masking.unit import Unit, name_of
from unmask.model.config import EncoderConfig
from unmask.model.flops import num_parameters
from unmask.runs import RunDirectory, refuse_occupied
from unmask.settings import Changes, read_settings
from unmask.training.budget import Budget, parse_budget
from unmask.training.loop import Plan, train
from unmask.training.machine import can_compile, differences, environment, peak_memory

BUDGET = "10m"

PHRASES = "phrases.txt"
"""What a run calls its copy of the list in masking.phrases."""


def pretrain_command(
    recipe: Annotated[
        list[str] | None, typer.Argument(metavar="RECIPE|group.key=value", help="A YAML file, and settings over it.")
    ] = None,
    corpus: Annotated[str | None, typer.Option(help="A corpus directory, or text to build one from.")] = None,
    out: Annotated[Path | None, typer.Option(help="Where the run is written.")] = None,
    init: Annotated[str | None, typer.Option(help="A model to start from, where weights are not to be new.")] = None,
    general: Annotated[str | None, typer.Option(help="Other text, or its corpus: how much of it is forgotten.")] = None,
    resume: Annotated[Path | None, typer.Option(help="A run to go on with, as it was started.")] = None,
    budget: Annotated[str | None, typer.Option(help=f"NUMBER(s|m|h|d|tok|steps), {BUDGET} by default.")] = None,
    seed: SeedOption = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Train an encoder by masked language modelling."""
    terminal = Terminal(json=json, quiet=quiet)
    file, words = recipe_and_words([*(recipe or []), *seeded(seed)])
    run = pretrain(
        corpus,
        out,
        settings=words,
        recipe=file,
        budget=budget,
        init=init,
        general=general,
        resume=resume,
        progress=not quiet,
    )
    terminal.emit({"run": str(run.path), **run.evaluation})
    print_figures(terminal, run.evaluation["mlm"])
    print_forgotten(terminal, run.evaluation)
    terminal.next_step(f'open {run.path / "report.html"}, or: unmask fill {run.path} "The [MASK] of the array."')


def pretrain(
    corpus: str | PathLike[str] | None = None,
    out: str | PathLike[str] | None = None,
    *,
    settings: Changes = (),
    recipe: str | PathLike[str] | None = None,
    budget: str | None = None,
    masking_unit: Unit | None = None,
    init: str | PathLike[str] | None = None,
    general: str | PathLike[str] | None = None,
    resume: str | PathLike[str] | None = None,
    progress: bool | Report = True,
) -> RunDirectory:
    """Train an encoder on ``corpus`` (a corpus directory, or text to build one from) and return its finished run.

    ``settings`` change those of ``recipe``, a YAML file. ``budget`` is NUMBER(s|m|h|d|tok|steps), 10m by default.
    ``masking_unit`` maps rows to (R, L) whole numbers: what has the same number in a document is hidden together.
    ``init`` is a model to start from: a run, a Hugging Face folder, or ORG/NAME on its hub; the corpus has to be built
    with its tokenizer, and is where it is text. ``general`` is text that is not learnt, or its corpus: what the run
    loses on it before and after shows what is forgotten. ``resume`` goes on with a stopped run, alone or with the run's
    own ``masking_unit``. ``progress`` is shown, or not, or told to a function of (stage, done, total, words). Ctrl-C
    and SIGTERM save and raise Stopped; what can not be done raises a UserError.
    """
    with progress_for(progress) as told:
        if resume is not None:
            new = {"corpus": corpus, "out": out, "settings": settings, "recipe": recipe, "budget": budget, "init": init}
            new |= {"general": general}
            if given := [name for name, value in new.items() if value]:
                raise SettingError(f"a run that is resumed has its own {', '.join(given)}; leave that out")
            return resume_run(Path(resume), told, Terminal(quiet=not progress).say, masking_unit)
        if out is None or corpus is None:
            raise SettingError(
                "give --corpus DIR|SOURCE and --out RUN for a new run, or --resume RUN to go on with one"
            )
        chosen = read_settings(PretrainSettings, Path(recipe) if recipe else None, settings)
        parsed = parse_budget(budget or BUDGET)
        refuse_occupied(Path(out))
        base = None if init is None else resolve(Path(init))
        tokenizer = tokenizer_settings(chosen.tokenizer, fspath(corpus), base)
        built = open_or_build(fspath(corpus), chosen.corpus, tokenizer, told)
        beside = None if general is None else open_general(fspath(general), built, chosen.corpus, told)
        return start_run(built, Path(out), chosen, parsed, told, masking_unit, base, beside)


def start_run(
    corpus: Corpus,
    out: Path,
    settings: PretrainSettings,
    budget: Budget,
    progress: Report,
    unit: Unit | None = None,
    base: Resolved | None = None,
    general: Corpus | None = None,
) -> RunDirectory:
    """Train a new model, or on from ``base``, on ``corpus`` and return its finished run, looking at ``general`` too.

    Raises Stopped where a signal ended it early.
    """
    settings = settings.model_copy(update={"masking": masking_with(settings.masking, unit)})
    config = shape_for(corpus, settings.model, settings.training.row_length, base)
    batches = step_batches(corpus, settings, unit)
    model = first_model(config, corpus, settings.training.seed, base)
    plan = plan_for(corpus, settings, model, batches, budget.seconds or 0.0, general)
    if base is not None:
        progress("start", 1, 1, require_sense(model, base, corpus, plan.evaluate(model)))
    plan = of_length(plan, batches, max_steps_for(plan, batches, budget))
    run = RunDirectory.create(
        out,
        kind="pretrain",
        settings={name: group for name, group in settings.plain().items() if base is None or name != "model"},
        environment=environment(plan.machine),
        copies={
            "tokenizer.json": corpus.tokenizer.to_str().encode(),
            "corpus.json": (corpus.directory / "manifest.json").read_bytes(),
            **carried_file(base),
            **losses_before(model, general, settings.evaluation.documents),
            **({PHRASES: listed.read_bytes()} if (listed := settings.masking.phrases) else {}),
        },
        max_steps=plan.max_steps,
        rows_consumed=0,
        parent=parent_of(base),
        corpus=named(corpus),
        general=None if general is None else named(general),
        task=None,
        masking_unit=name_of(unit) if unit else None,
        model={
            "preset": settings.model.preset if base is None else f"from {base.origin['path']}",
            "parameters": num_parameters(config),
            "config": asdict(config),
        },
        num_rows=batches.rows.num_rows,
        packing=batches.rows.efficiency,
        phrases=batches.rows.phrases,
        mask_rates=batches.mask_rates(corpus.unigram_counts(), corpus.source_names),
    )
    with run.exclusive():
        return _run(run, corpus, settings, plan, progress, general)


def resume_run(path: Path, progress: Report, say: Callable[[str], None], unit: Unit | None = None) -> RunDirectory:
    """Go on with the run at ``path`` from its last good checkpoint and return it finished."""
    run = RunDirectory(path)
    state = run.state
    if state["status"] == "finished":
        raise RunError(f"{path}: is finished ({state['step']:,} steps); start a new run with --out")
    recorded, given = state.get("masking_unit"), name_of(unit) if unit else None
    if recorded != given:
        raise RunError(
            f"{path}: was started with masking_unit={recorded}, got {given}; unmask.pretrain takes it beside resume"
        )
    settings = PretrainSettings.parse(run.settings)
    if settings.masking.phrases is not None:  # the list as it was, wherever the user's own is now
        listed = settings.masking.model_copy(update={"phrases": run.path / PHRASES})
        settings = settings.model_copy(update={"masking": listed})
    corpus = training_corpus(run.path, state["corpus"])
    if corpus.fingerprint != state["corpus"]["fingerprint"]:
        raise RunError(
            f"{corpus.directory}: is not the corpus that {path} was started on; bring that one back or start anew"
        )
    before = run.read("environment.json") or {}
    compiled = before.get("compiled") and can_compile()
    same = settings.training.model_copy(update={"compile": "always" if compiled else "never"})
    settings = settings.model_copy(update={"training": same})
    batches = step_batches(corpus, settings, unit)
    begun = run.last_good_checkpoint()[0] is not None
    base = None if state["parent"] is None or begun else parent_again(state["parent"])
    model = first_model(EncoderConfig(**state["model"]["config"]), corpus, settings.training.seed, base)
    general = general_again(run)
    plan = of_length(plan_for(corpus, settings, model, batches, 0.0, general), batches, state["max_steps"])
    for line in differences(before, environment(plan.machine)):
        say(f"this run goes on elsewhere and will not be equal to the bit: {line}")
    with run.exclusive():
        run.update(attempt=run.state["attempt"] + 1, status="running")
        return _run(run, corpus, settings, plan, progress, general)


def _run(
    run: RunDirectory,
    corpus: Corpus,
    settings: PretrainSettings,
    plan: Plan,
    progress: Report,
    general: Corpus | None,
) -> RunDirectory:
    """Train, measure and return ``run``, which this process holds. Raises Stopped where a signal ended it early."""
    try:
        if train(run, plan, lambda line: progress(*progress_of(line, plan.max_steps))):
            ending = {"status": "finished", "peak_memory": peak_memory()}
            finish_run(run, corpus, settings.evaluation.documents, ending, general)
            run.update(**ending)
            return run
    except RunError:
        run.update(status="failed")
        raise
    except KeyboardInterrupt:
        if not run.checkpoints():
            raise
    run.update(status="stopped", peak_memory=peak_memory())
    raise Stopped(f"stopped at step {run.state['step']:,}; go on with: unmask pretrain --resume {run.path}")
