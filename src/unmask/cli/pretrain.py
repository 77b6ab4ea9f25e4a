"""``unmask pretrain``: from a corpus and a recipe to a run directory, and on from where a run stopped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from os import PathLike, fspath
from pathlib import Path
from typing import Annotated, Any

import typer

from unmask.cli.corpus import open_or_build, same_corpus
from unmask.cli.figures import print_figures, print_forgotten, progress_of
from unmask.cli.general import general_again, losses_before, named, open_general
from unmask.cli.longer import Longer, longer_run
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
from unmask.inference.generation import GOES_ON
from unmask.inference.resolve import resolve
from unmask.inference.resolved import Resolved
from unmask.masking.unit import Unit, name_of
from unmask.model.config import EncoderConfig
from unmask.model.flops import num_parameters
from unmask.runs import RunDirectory, refuse_occupied
from unmask.settings import Changes, read_settings
from unmask.training.branching import drop_what_came_after, recorded_course
from unmask.training.budget import Budget, parse_budget
from unmask.training.distributed import ALONE, Ranks, ReadOnlyRun, joined
from unmask.training.loop import Plan, train
from unmask.training.machine import can_compile, differences, environment, peak_memory
from unmask.training.telemetry import Listener
from unmask.training.tracking import Track, told_beside, track_of

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
    resume: Annotated[str | None, typer.Option(help="A run to go on with; RUN@STEP decays from that step.")] = None,
    budget: Annotated[
        str | None, typer.Option(help=f"NUMBER(s|m|h|d|tok|steps), {BUDGET} by default; +10m beside --resume.")
    ] = None,
    track: Annotated[
        list[str] | None, typer.Option(help="Who else is told: tensorboard[:DIR], mlflow[:URI]; may be repeated.")
    ] = None,
    seed: SeedOption = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Train an encoder by masked language modelling, or by another objective."""
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
        track=track or (),
        progress=not quiet,
    )
    if isinstance(run, ReadOnlyRun):
        return
    terminal.emit({"run": str(run.path), **run.evaluation})
    print_figures(terminal, run.evaluation["mlm"])
    print_forgotten(terminal, run.evaluation)
    goes_on = run.settings["objective"]["name"] in GOES_ON
    use = f'generate {run.path} "The array"' if goes_on else f'fill {run.path} "The [MASK] of the array."'
    terminal.next_step(f"open {run.path / 'report.html'}, or: unmask {use}")


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
    track: Sequence[str] = (),
    progress: bool | Report = True,
) -> RunDirectory:
    """Train an encoder on ``corpus`` (a corpus directory, or text to build one from) and return its finished run.

    ``settings`` change those of ``recipe``, a YAML file. ``budget`` is NUMBER(s|m|h|d|tok|steps), 10m by default.
    ``masking_unit`` maps rows to (R, L) whole numbers: what has the same number in a document is hidden together.
    ``init`` is a model to start from: a run, a Hugging Face folder, or ORG/NAME on its hub; the corpus has to be built
    with its tokenizer, and is where it is text. ``general`` is text that is not learnt, or its corpus: what the run
    loses on it before and after shows what is forgotten. ``resume`` goes on with a stopped run, alone or with the run's
    own ``masking_unit``; beside a ``budget`` of +10m it makes a finished run longer, in its own place or as the run
    ``out``, and RUN@STEP lets the rate of a run fall from its plateau at STEP. ``track`` names who else is told of each
    line, tensorboard[:DIR] or mlflow[:URI], in a thread of its own. ``progress`` is shown, or not, or told to a
    function of (stage, done, total, words). Ctrl-C and SIGTERM save and raise Stopped; what can not be done raises a
    UserError.
    """
    with joined() as ranks, progress_for(progress if ranks.is_first else False) as told:
        say = Terminal(quiet=not (progress and ranks.is_first)).say
        tracks = [track_of(text, say) for text in track] if ranks.is_first else []
        if resume is not None:
            new = {"corpus": corpus, "settings": settings, "recipe": recipe, "init": init, "general": general}
            if given := [name for name, value in new.items() if value]:
                raise SettingError(f"a run that is resumed has its own {', '.join(given)}; leave that out")
            path, longer = longer_run(fspath(resume), budget, out)
            if longer and ranks.has_begun(begun := longer.out or path):  # torchrun started this command again
                path, longer = begun, None
            return resume_run(path, told, say, masking_unit, ranks, longer, tracks)
        if out is None or corpus is None:
            raise SettingError(
                "give --corpus DIR|SOURCE and --out RUN for a new run, or --resume RUN to go on with one"
            )
        if ranks.has_begun(Path(out)):
            return resume_run(Path(out), told, say, masking_unit, ranks, tracks=tracks)
        with ranks.first_before_others():
            chosen = read_settings(PretrainSettings, Path(recipe) if recipe else None, settings)
            parsed = parse_budget(budget or BUDGET)
            refuse_occupied(Path(out))
            base = None if init is None else resolve(Path(init))
            tokenizer = tokenizer_settings(chosen.tokenizer, fspath(corpus), base)
            built = open_or_build(fspath(corpus), chosen.corpus, tokenizer, told)
            beside = None if general is None else open_general(fspath(general), built, chosen.corpus, told)
        return start_run(built, Path(out), chosen, parsed, told, masking_unit, base, beside, ranks, tracks)


def start_run(
    corpus: Corpus,
    out: Path,
    settings: PretrainSettings,
    budget: Budget,
    progress: Report,
    unit: Unit | None = None,
    base: Resolved | None = None,
    general: Corpus | None = None,
    ranks: Ranks = ALONE,
    tracks: Sequence[Track] = (),
) -> RunDirectory:
    """Train a new model, or on from ``base``, on ``corpus`` and return its finished run, looking at ``general`` too.

    Raises Stopped where a signal ended it early.
    """
    settings = settings.model_copy(update={"masking": masking_with(settings.masking, unit)})
    config = shape_for(corpus, settings.model, settings.training.row_length, base, settings.objective)
    with ranks.first_before_others():
        batches = step_batches(corpus, settings, unit, ranks)
    model = first_model(config, corpus, settings.training.seed, base)
    plan = plan_for(corpus, settings, model, batches, budget.seconds or 0.0, general, ranks)
    if base is not None:
        progress("start", 1, 1, require_sense(model, base, corpus, plan.evaluate(model)))
    plan = of_length(plan, batches, max_steps_for(plan, batches, budget))
    before = losses_before(model, general, settings.evaluation.documents)
    with ranks.first_before_others():
        run = ranks.run_at(out) or RunDirectory.create(
            out,
            kind="pretrain",
            settings={name: group for name, group in settings.plain().items() if base is None or name != "model"},
            environment={**environment(plan.machine), "matmul_peak": plan.gauge and plan.gauge.peak},
            copies={
                "tokenizer.json": corpus.tokenizer.to_str().encode(),
                "corpus.json": (corpus.directory / "manifest.json").read_bytes(),
                **carried_file(base),
                **before,
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
            mask_rates=batches.mask_rates(corpus.unigram_counts(), corpus.source_names) if batches.has_rate else None,
            launch=ranks.launch,
        )
    with run.exclusive(), told_beside(run, tracks) as tell:
        return _run(run, corpus, settings, plan, _both(progress, plan.max_steps, tell), general)


def resume_run(
    path: Path,
    progress: Report,
    say: Callable[[str], None],
    unit: Unit | None = None,
    ranks: Ranks = ALONE,
    longer: Longer | None = None,
    tracks: Sequence[Track] = (),
) -> RunDirectory:
    """Go on with the run at ``path`` from its last good checkpoint and return it finished.

    ``longer`` goes on past its end, or is another run that begins where this one stood.
    """
    run = ranks.run_at(path) or RunDirectory(path)
    state = run.state
    if longer is None and state["status"] == "finished":
        if ranks.has_begun(path):
            return run
        raise RunError(
            f"{path}: is finished ({state['step']:,} steps); make it longer with --budget +10m, or start a new one "
            "with --out"
        )
    recorded, given = state.get("masking_unit"), name_of(unit) if unit else None
    if recorded != given:
        raise RunError(
            f"{path}: was started with masking_unit={recorded}, got {given}; unmask.pretrain takes it beside resume"
        )
    settings, corpus, before = _as_started(run)
    branch = None if longer is None else longer.of(run, settings)
    batches = step_batches(corpus, settings, unit, ranks)
    begun = run.last_good_checkpoint()[0] is not None
    base = None if state["parent"] is None or begun else parent_again(state["parent"])
    model = first_model(EncoderConfig(**state["model"]["config"]), corpus, settings.training.seed, base)
    general = general_again(run)
    plan = plan_for(corpus, settings, model, batches, 0.0, general, ranks)
    if longer and branch:
        run = longer.begun(branch, max_steps_for(plan, batches, longer.budget), ranks, say)
        state = run.state
    elif recorded_course(state) and not begun:
        raise RunError(f"{path}: has lost the checkpoints that it went on from; start a new run")
    plan = of_length(plan, batches, state["max_steps"], recorded_course(state))
    for line in differences(before, environment(plan.machine)):
        say(f"this run goes on elsewhere and will not be equal to the bit: {line}")
    with run.exclusive():
        with ranks.first_before_others():  # which checkpoint is the last is the same for all
            if ranks.is_first:
                drop_what_came_after(run)
            run.update(attempt=state["attempt"] + 1, status="running", launch=ranks.launch)
        with told_beside(run, tracks) as tell:
            return _run(run, corpus, settings, plan, _both(progress, plan.max_steps, tell), general)


def _as_started(run: RunDirectory) -> tuple[PretrainSettings, Corpus, dict[str, Any]]:
    """Return the settings, the corpus and the environment that ``run`` was started with.

    Raises RunError where the corpus is another one now.
    """
    settings, recorded = PretrainSettings.parse(run.settings), run.state["corpus"]
    if settings.masking.phrases is not None:  # the list as it was, wherever the user's own is now
        listed = settings.masking.model_copy(update={"phrases": run.path / PHRASES})
        settings = settings.model_copy(update={"masking": listed})
    corpus = same_corpus(run.path, recorded)
    before = run.read("environment.json") or {}
    compiled = before.get("compiled") and can_compile()
    same = settings.training.model_copy(update={"compile": "always" if compiled else "never"})
    return settings.model_copy(update={"training": same}), corpus, before


def _both(progress: Report, max_steps: int, tell: Listener) -> Listener:
    """Return who hears of each line of a run: the display of progress, and who was asked for beside it."""

    def listen(line: dict[str, Any]) -> None:
        progress(*progress_of(line, max_steps))
        tell(line)

    return listen


def _run(
    run: RunDirectory,
    corpus: Corpus,
    settings: PretrainSettings,
    plan: Plan,
    listener: Listener,
    general: Corpus | None,
) -> RunDirectory:
    """Train, measure and return ``run``, which this process holds. Raises Stopped where a signal ended it early."""
    try:
        if train(run, plan, listener):
            with plan.ranks.first_before_others():
                if plan.ranks.is_first:
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
    if not plan.ranks.is_first:
        raise Stopped
    raise Stopped(f"stopped at step {run.state['step']:,}; go on with: unmask pretrain --resume {run.path}")
