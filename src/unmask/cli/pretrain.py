"""``unmask pretrain``: from a corpus and a recipe to a run directory, and on from where a run stopped."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, replace
from os import PathLike, fspath
from pathlib import Path
from typing import Annotated

import typer

from unmask.cli.corpus import open_or_build, training_corpus
from unmask.cli.figures import print_figures, progress_of
from unmask.cli.measure import finish_run
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
from unmask.corpus.build import CorpusSettings
from unmask.corpus.directory import Corpus
from unmask.corpus.tokenizer import TokenizerSettings
from unmask.errors import DataError, RunError, SettingError, Stopped
from unmask.evaluation.masked import EvaluationSettings, freeze, means, score_frozen
from unmask.inference.resolve import resolve
from unmask.inference.resolved import Resolved
from unmask.masking.mask import MaskingSettings
from unmask.masking.unit import Unit, checked, name_of
from unmask.model.config import EncoderConfig, ModelSettings
from unmask.model.flops import num_parameters
from unmask.model.heads import MaskedLM
from unmask.objectives import OBJECTIVES, ObjectiveSettings
from unmask.runs import RunDirectory, refuse_occupied
from unmask.settings import Changes, Settings, read_settings
from unmask.training.batches import StepBatches
from unmask.training.budget import Budget, parse_budget, steps_for
from unmask.training.kept import WeightAverage
from unmask.training.loop import Plan, TrainingSettings, train, trial_steps
from unmask.training.machine import can_compile, differences, environment, peak_memory, prepare
from unmask.training.optim import OptimizerSettings, ScheduleSettings

WATCHED_DOCUMENTS = 100
"""Held-out documents that a run looks at while it trains; all that the recipe names are measured at its end."""
EVALUATIONS = 13

BUDGET = "10m"

PHRASES = "phrases.txt"
"""What a run calls its copy of the list in masking.phrases."""


class PretrainSettings(Settings):
    """A recipe of pre-training."""

    corpus: CorpusSettings = CorpusSettings()
    tokenizer: TokenizerSettings = TokenizerSettings()
    masking: MaskingSettings = MaskingSettings()
    model: ModelSettings = ModelSettings()
    objective: ObjectiveSettings = ObjectiveSettings()
    optimizer: OptimizerSettings = OptimizerSettings()
    schedule: ScheduleSettings = ScheduleSettings()
    training: TrainingSettings = TrainingSettings()
    evaluation: EvaluationSettings = EvaluationSettings()


def pretrain_command(
    recipe: Annotated[
        list[str] | None, typer.Argument(metavar="RECIPE|group.key=value", help="A YAML file, and settings over it.")
    ] = None,
    corpus: Annotated[str | None, typer.Option(help="A corpus directory, or text to build one from.")] = None,
    out: Annotated[Path | None, typer.Option(help="Where the run is written.")] = None,
    init: Annotated[str | None, typer.Option(help="A model to start from, where weights are not to be new.")] = None,
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
        corpus, out, settings=words, recipe=file, budget=budget, init=init, resume=resume, progress=not quiet
    )
    terminal.emit({"run": str(run.path), **run.evaluation})
    print_figures(terminal, run.evaluation["mlm"])
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
    resume: str | PathLike[str] | None = None,
    progress: bool | Report = True,
) -> RunDirectory:
    """Train an encoder on ``corpus`` (a corpus directory, or text to build one from) and return its finished run.

    ``settings`` change those of ``recipe``, a YAML file. ``budget`` is NUMBER(s|m|h|d|tok|steps), 10m by default.
    ``masking_unit`` maps rows to (R, L) whole numbers: what has the same number in a document is hidden together.
    ``init`` is a model to start from: a run, a Hugging Face folder, or ORG/NAME on its hub; the corpus has to be built
    with its tokenizer, and is where it is text. ``resume`` goes on with a stopped run, alone or with the run's own
    ``masking_unit``. ``progress`` is shown, or not, or told to a function of (stage, done, total, words). Ctrl-C and
    SIGTERM save and raise Stopped; what can not be done raises a UserError.
    """
    with progress_for(progress) as told:
        if resume is not None:
            new = {"corpus": corpus, "out": out, "settings": settings, "recipe": recipe, "budget": budget, "init": init}
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
        return start_run(built, Path(out), chosen, parsed, told, masking_unit, base)


def seeded(seed: int | None) -> list[str]:
    """Return the setting that --seed stands for, where it is given."""
    return [] if seed is None else [f"training.seed={seed}"]


def recipe_and_words(words: list[str]) -> tuple[Path | None, list[str]]:
    """Return the recipe, where one is named, and the group.key=value words of a command line."""
    recipes = [word for word in words if "=" not in word]
    if len(recipes) > 1:
        raise SettingError(f"one recipe at most, got {', '.join(recipes)}; settings are written group.key=value")
    return Path(recipes[0]) if recipes else None, [word for word in words if "=" in word]


def pretrain_settings(words: list[str]) -> PretrainSettings:
    """Return the settings in ``words``: at most one recipe, then group.key=value."""
    return read_settings(PretrainSettings, *recipe_and_words(words))


def start_run(
    corpus: Corpus,
    out: Path,
    settings: PretrainSettings,
    budget: Budget,
    progress: Report,
    unit: Unit | None = None,
    base: Resolved | None = None,
) -> RunDirectory:
    """Train a new model, or on from ``base``, on ``corpus`` and return its finished run.

    Raises Stopped where a signal ended it early.
    """
    settings = settings.model_copy(update={"masking": _masking(settings.masking, unit)})
    config = shape_for(corpus, settings.model, settings.training.row_length, base)
    batches = step_batches(corpus, settings, unit)
    model = first_model(config, settings.training.seed, base)
    plan = _plan(corpus, settings, model, batches, budget.seconds or 0.0)
    if base is not None:
        progress("start", 1, 1, require_sense(model, base, plan.evaluate(model)))
    plan = _of_length(plan, batches, _max_steps(plan, batches, budget))
    run = RunDirectory.create(
        out,
        kind="pretrain",
        settings={name: group for name, group in settings.plain().items() if base is None or name != "model"},
        environment=environment(plan.machine),
        copies={
            "tokenizer.json": corpus.tokenizer.to_str().encode(),
            "corpus.json": (corpus.directory / "manifest.json").read_bytes(),
            **carried_file(base),
            **({PHRASES: listed.read_bytes()} if (listed := settings.masking.phrases) else {}),
        },
        max_steps=plan.max_steps,
        rows_consumed=0,
        parent=parent_of(base),
        corpus={"path": str(corpus.directory.resolve()), "fingerprint": corpus.fingerprint},
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
        return _run(run, corpus, settings, plan, progress)


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
    model = first_model(EncoderConfig(**state["model"]["config"]), settings.training.seed, base)
    plan = _of_length(_plan(corpus, settings, model, batches, 0.0), batches, state["max_steps"])
    for line in differences(before, environment(plan.machine)):
        say(f"this run goes on elsewhere and will not be equal to the bit: {line}")
    with run.exclusive():
        run.update(attempt=run.state["attempt"] + 1, status="running")
        return _run(run, corpus, settings, plan, progress)


def _run(run: RunDirectory, corpus: Corpus, settings: PretrainSettings, plan: Plan, progress: Report) -> RunDirectory:
    """Train, measure and return ``run``, which this process holds. Raises Stopped where a signal ended it early."""
    try:
        if train(run, plan, lambda line: progress(*progress_of(line, plan.max_steps))):
            ending = {"status": "finished", "peak_memory": peak_memory()}
            finish_run(run, corpus, settings.evaluation.documents, ending)
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


def _masking(settings: MaskingSettings, unit: Unit | None) -> MaskingSettings:
    """Return the settings that say of themselves whether the unit of hiding is the user's own."""
    if unit is None and settings.unit == "function":
        raise SettingError("masking.unit is 'function', and none is given: pass masking_unit=... to unmask.pretrain")
    return settings.model_copy(update={"unit": "function"}) if unit else settings


def _plan(
    corpus: Corpus, settings: PretrainSettings, model: MaskedLM, batches: StepBatches, budget_seconds: float
) -> Plan:
    """Put the parts together; ``max_steps`` is still open."""
    training = settings.training
    machine = prepare(
        dtype=training.dtype,
        threads=training.threads,
        deterministic=training.deterministic,
        compiling=training.compile,
        budget_seconds=budget_seconds,
    )
    model.to(machine.device)
    if machine.compile:
        model.compile()
    watched = freeze(corpus, min(WATCHED_DOCUMENTS, settings.evaluation.documents))
    return Plan(
        model=model,
        objective=OBJECTIVES[settings.objective.name],
        make_batches=batches,
        sources=corpus.source_names,
        evaluate=lambda model: means(score_frozen(model, watched, machine.precision)),
        kept=WeightAverage(model, training.ema),
        machine=machine,
        optimizer=settings.optimizer,
        schedule=settings.schedule,
        training=training,
        max_steps=0,
    )


def step_batches(corpus: Corpus, settings: PretrainSettings, unit: Unit | None = None) -> StepBatches:
    """Return what makes the batches of a run; how long it is, is still open."""
    training, listed = settings.training, settings.masking.phrases
    rows = corpus.rows(training.row_length, phrases=None if listed is None else corpus.phrases(listed))
    found = rows.phrases
    if listed and found and not found["places"]:
        raise DataError(
            listed, f"none of its phrases of several words is in {corpus.directory}; see how they are written"
        )
    return StepBatches(
        rows=rows,
        vocabulary=corpus.vocabulary,
        masking=settings.masking,
        seed=training.seed,
        batch_rows=training.batch_rows,
        micro_batch_rows=training.micro_batch_rows,
        unit=checked(unit) if unit else None,
    )


def _of_length(plan: Plan, batches: StepBatches, max_steps: int) -> Plan:
    """Return ``plan`` for a run of ``max_steps``, over which the rate of masking goes its way."""
    whole = replace(batches, rows_in_all=max_steps * batches.batch_rows)
    return replace(plan, make_batches=whole, in_force=whole.rate_in_force, max_steps=max_steps)


def _max_steps(plan: Plan, batches: StepBatches, budget: Budget) -> int:
    def evaluation_seconds() -> float:
        start = time.perf_counter()
        plan.evaluate(plan.model)
        return time.perf_counter() - start

    seconds = min(evaluation_seconds() for _ in range(2)) if budget.seconds is not None else 0.0  # the first is cold
    return steps_for(
        budget,
        step_tokens=batches.batch_rows * batches.rows.tokens_per_row,
        run_step=trial_steps(plan),
        overhead_seconds=EVALUATIONS * seconds,
    )
