"""``unmask pretrain``: from a corpus and a recipe to a run directory, and on from where a run stopped."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from unmask.cli.corpus import open_or_build
from unmask.cli.measure import finish_run
from unmask.cli.terminal import JsonFlag, QuietFlag, Terminal, duration, rate
from unmask.corpus.build import CorpusSettings
from unmask.corpus.directory import Corpus, open_corpus
from unmask.corpus.tokenizer import TokenizerSettings
from unmask.errors import RunError, SettingError, Stopped
from unmask.evaluation.masked import EvaluationSettings, freeze, score_frozen
from unmask.masking.mask import MaskingSettings
from unmask.model.config import ModelSettings, resolve
from unmask.model.flops import num_parameters
from unmask.model.heads import new_masked_lm
from unmask.objectives import OBJECTIVES, ObjectiveSettings
from unmask.runs import RunDirectory, refuse_occupied
from unmask.settings import Settings, read_settings
from unmask.training.batches import StepBatches
from unmask.training.budget import Budget, parse_budget, steps_for
from unmask.training.loop import Plan, TrainingSettings, train, trial_steps
from unmask.training.machine import differences, environment, prepare
from unmask.training.optim import OptimizerSettings, ScheduleSettings

WATCHED_DOCUMENTS = 100
"""Held-out documents that a run looks at while it trains; all that the recipe names are measured at its end."""
EVALUATIONS = 13

Progress = Callable[..., None]


class PretrainSettings(Settings):
    """A recipe of pre-training."""

    corpus: CorpusSettings = CorpusSettings()
    tokenizer: TokenizerSettings = TokenizerSettings()
    masking: MaskingSettings = MaskingSettings(mlm_probability=0.3)
    model: ModelSettings = ModelSettings()
    objective: ObjectiveSettings = ObjectiveSettings()
    optimizer: OptimizerSettings = OptimizerSettings()
    schedule: ScheduleSettings = ScheduleSettings()
    training: TrainingSettings = TrainingSettings()
    evaluation: EvaluationSettings = EvaluationSettings()


def pretrain(
    recipe: Annotated[list[str] | None, typer.Argument(help="RECIPE.yaml and group.key=value words.")] = None,
    corpus: Annotated[str | None, typer.Option(help="A corpus directory, or text to build one from.")] = None,
    out: Annotated[Path | None, typer.Option(help="Where the run is written.")] = None,
    resume: Annotated[Path | None, typer.Option(help="A run to go on with.")] = None,
    budget: Annotated[str, typer.Option(help="NUMBER(s|m|h|d|tok|steps): how long to train.")] = "10m",
    json: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Train an encoder by masked language modelling."""
    terminal = Terminal(json=json, quiet=quiet)
    if resume is not None:
        with terminal.progress() as progress:
            run = resume_run(resume, progress, terminal.say)
    else:
        if out is None or corpus is None:
            raise SettingError(
                "give --corpus DIR|SOURCE and --out RUN for a new run, or --resume RUN to go on with one"
            )
        settings = pretrain_settings(recipe or [])
        parsed = parse_budget(budget)
        refuse_occupied(out)
        with terminal.progress() as progress:
            built = open_or_build(corpus, settings.corpus, settings.tokenizer, progress)
            run = start_run(built, out, settings, parsed, progress)
    evaluation = run.read("evaluation.json") or {}
    terminal.emit({"run": str(run.path), **evaluation})
    print_figures(terminal, evaluation["mlm"])
    terminal.next_step(f'open {run.path / "report.html"}, or: unmask fill {run.path} "The [MASK] of the array."')


def pretrain_settings(words: list[str]) -> PretrainSettings:
    """Return the settings in ``words``: at most one recipe, then group.key=value."""
    recipes = [word for word in words if "=" not in word]
    if len(recipes) > 1:
        raise SettingError(f"one recipe at most, got {', '.join(recipes)}; settings are written group.key=value")
    overrides = [word for word in words if "=" in word]
    return read_settings(PretrainSettings, Path(recipes[0]) if recipes else None, overrides)


def start_run(
    corpus: Corpus, out: Path, settings: PretrainSettings, budget: Budget, progress: Progress
) -> RunDirectory:
    """Train a new model on ``corpus`` and return its finished run. Raises Stopped where a signal ended it early."""
    plan = _plan(corpus, settings, budget.seconds or 0.0)
    plan = replace(plan, max_steps=_max_steps(plan, corpus, settings, budget))
    config = plan.model.config
    run = RunDirectory.create(
        out,
        kind="pretrain",
        settings=settings.plain(),
        environment=environment(plan.machine),
        copies={
            "tokenizer.json": corpus.tokenizer.to_str().encode(),
            "corpus.json": (corpus.directory / "manifest.json").read_bytes(),
        },
        max_steps=plan.max_steps,
        rows_consumed=0,
        parent=None,
        corpus={"path": str(corpus.directory.resolve()), "fingerprint": corpus.fingerprint},
        task=None,
        model={"preset": settings.model.preset, "parameters": num_parameters(config), "config": asdict(config)},
    )
    return _run(run, corpus, settings, plan, progress)


def resume_run(path: Path, progress: Progress, say: Callable[[str], None]) -> RunDirectory:
    """Go on with the run at ``path`` from its last good checkpoint and return it finished."""
    run = RunDirectory(path)
    state = run.state
    if state["status"] == "finished":
        raise RunError(f"{path}: is finished ({state['step']:,} steps); start a new run with --out")
    settings = PretrainSettings.parse(run.settings)
    corpus = open_corpus(Path(state["corpus"]["path"]))
    if corpus.fingerprint != state["corpus"]["fingerprint"]:
        raise RunError(
            f"{corpus.directory}: is not the corpus that {path} was started on; bring that one back or start anew"
        )
    before = run.read("environment.json") or {}
    same = settings.training.model_copy(update={"compile": "yes" if before.get("compiled") else "no"})
    plan = replace(_plan(corpus, settings.model_copy(update={"training": same}), 0.0), max_steps=state["max_steps"])
    for line in differences(before, environment(plan.machine)):
        say(f"this run goes on elsewhere and will not be equal to the bit: {line}")
    run.update(attempt=state["attempt"] + 1, status="running")
    return _run(run, corpus, settings, plan, progress)


def _run(run: RunDirectory, corpus: Corpus, settings: PretrainSettings, plan: Plan, progress: Progress) -> RunDirectory:
    with run.exclusive():
        try:
            reached_the_end = train(run, plan, lambda line: progress(*progress_of(line, plan.max_steps)))
        except RunError:
            run.update(status="failed")
            raise
        if not reached_the_end:
            run.update(status="stopped")
            raise Stopped(f"stopped at step {run.state['step']:,}; go on with: unmask pretrain --resume {run.path}")
        finish_run(run, corpus, settings.evaluation.documents)
        run.update(status="finished")
    return run


def _plan(corpus: Corpus, settings: PretrainSettings, budget_seconds: float) -> Plan:
    """Put the parts together; ``max_steps`` is still open."""
    training = settings.training
    machine = prepare(
        dtype=training.dtype,
        threads=training.threads,
        deterministic=training.deterministic,
        compiling=training.compile,
        budget_seconds=budget_seconds,
    )
    config = resolve(settings.model, corpus.vocabulary.size, corpus.vocabulary.pad_id)
    config.check_row_length(training.row_length)
    model = new_masked_lm(config, torch.Generator().manual_seed(training.seed)).to(machine.device)
    if machine.compile:
        model.compile()
    return Plan(
        model=model,
        objective=OBJECTIVES[settings.objective.name],
        make_batches=StepBatches(
            rows=corpus.rows(training.row_length),
            vocabulary=corpus.vocabulary,
            masking=settings.masking,
            seed=training.seed,
            batch_rows=training.batch_rows,
            micro_batch_rows=training.micro_batch_rows,
        ),
        watched=freeze(corpus, min(WATCHED_DOCUMENTS, settings.evaluation.documents)),
        machine=machine,
        optimizer=settings.optimizer,
        schedule=settings.schedule,
        training=training,
        max_steps=0,
    )


def _max_steps(plan: Plan, corpus: Corpus, settings: PretrainSettings, budget: Budget) -> int:
    rows = corpus.rows(settings.training.row_length)
    start = time.perf_counter()
    if budget.seconds is not None:
        score_frozen(plan.model, plan.watched, plan.machine.precision)
    return steps_for(
        budget,
        step_tokens=settings.training.batch_rows * rows.num_tokens / rows.num_rows,
        run_step=trial_steps(plan),
        overhead_seconds=EVALUATIONS * (time.perf_counter() - start),
    )


def progress_of(line: dict[str, Any], max_steps: int) -> tuple[str, int, int, str]:
    """Return the stage, the step, the steps in all and the words that a line of telemetry is shown as."""
    step = line["step"]
    left = (max_steps - step) * line["seconds"] / step if step else 0.0
    match line["kind"]:
        case "train":
            losses = " ".join(
                f"{name} {line[name]:.2f}" for name in ("masked", "random", "kept") if line[name] is not None
            )
            return (
                "training",
                step,
                max_steps,
                f"{losses}  {rate(line['tokens_per_second'], 'tok')}  {duration(left)} left",
            )
        case "evaluation":
            words = f"held-out [MASK] {line['masked']:.3f}, unigram {line['unigram']['masked']:.3f}"
            return "training", step, max_steps, words
        case _:
            return "training", step, max_steps, f"{line['kind']} at step {step}"


def print_figures(terminal: Terminal, mlm: dict[str, Any]) -> None:
    """Print the table of cross entropies beside the unigram line, and the gap."""

    def cell(figure: dict[str, Any] | None) -> str:
        return f"{figure['value']:.3f} [{figure['low']:.3f}, {figure['high']:.3f}]" if figure else "none asked"

    rows = [
        (name, cell(mlm["cross_entropy"][name]), cell(mlm["unigram"][name]))
        for name in ("masked", "random", "kept", "all")
    ]
    terminal.table(["held-out, in nats", "cross entropy", "unigram line"], rows)
    accuracy = mlm["accuracy"]["masked"]
    terminal.result(f"At [MASK] the model is {cell(mlm['gap'])} nats better than word frequency;")
    terminal.result(
        f"the right token is first for {accuracy['1']['value']:.1%}, among five for {accuracy['5']['value']:.1%}."
    )
