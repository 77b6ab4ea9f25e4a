"""What a pre-training will be, before a run is written: its settings, its batches, the plan that the loop is handed.

What bites: ``unmask plan`` and ``unmask pretrain`` both stand on this, so that what was planned is what is run.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from unmask.cli.general import watching
from unmask.corpus.build import CorpusSettings
from unmask.corpus.directory import Corpus
from unmask.corpus.tokenizer import TokenizerSettings
from unmask.errors import DataError, SettingError
from unmask.evaluation.masked import EvaluationSettings
from unmask.masking.mask import MaskingSettings
from unmask.masking.unit import Unit, checked
from unmask.model.config import ModelSettings
from unmask.model.flops import flops_per_token
from unmask.model.heads import MaskedLM
from unmask.objectives import OBJECTIVES, ObjectiveSettings
from unmask.settings import Settings, read_settings
from unmask.training.batches import StepBatches
from unmask.training.budget import Budget, steps_for, timed_steps
from unmask.training.distributed import ALONE, Ranks
from unmask.training.kept import WeightAverage
from unmask.training.loop import Plan, TrainingSettings, trial_steps
from unmask.training.machine import Gauge, Machine, matmul_peak, prepare
from unmask.training.memory import RowsAtOnce
from unmask.training.optim import Course, OptimizerSettings, ScheduleSettings

WATCHED_DOCUMENTS = 100
"""Held-out documents that a run looks at while it trains; all that the recipe names are measured at its end."""
EVALUATIONS = 13


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


def step_batches(
    corpus: Corpus, settings: PretrainSettings, unit: Unit | None = None, ranks: Ranks = ALONE
) -> StepBatches:
    """Return what makes the batches of a run, this rank's share of them; how long it is, is still open."""
    refuse_uneven(settings.training, ranks)
    training, listed = settings.training, settings.masking.phrases
    if settings.objective.name == "diffusion" and settings.masking.unit != "token":
        raise SettingError(
            f"masking.unit must be token where objective.name is diffusion, got {settings.masking.unit}: its bound "
            "holds where each token is hidden by itself"
        )
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
        rank=ranks.rank,
        ranks=ranks.count,
        unit=checked(unit) if unit else None,
        objective=settings.objective,
    )


def masking_with(settings: MaskingSettings, unit: Unit | None) -> MaskingSettings:
    """Return the settings that say of themselves whether the unit of hiding is the user's own."""
    if unit is None and settings.unit == "function":
        raise SettingError("masking.unit is 'function', and none is given: pass masking_unit=... to unmask.pretrain")
    return settings.model_copy(update={"unit": "function"}) if unit else settings


def refuse_uneven(training: TrainingSettings, ranks: Ranks) -> None:
    """Raise SettingError where the rows of a step can not be dealt over ``ranks``."""
    rows = training.batch_rows
    if rows < ranks.count:
        raise SettingError(f"training.batch_rows must be at least the {ranks.count} processes of torchrun, got {rows}")
    if training.shard == "full" and rows % ranks.count:
        raise SettingError(
            f"training.batch_rows must be a multiple of the {ranks.count} processes of torchrun where training.shard "
            f"is full, since they go through the network together, got {rows}"
        )


def plan_for(
    corpus: Corpus,
    settings: PretrainSettings,
    model: MaskedLM,
    batches: StepBatches,
    budget_seconds: float,
    general: Corpus | None,
    ranks: Ranks = ALONE,
) -> Plan:
    """Put the parts together; ``max_steps`` is still open."""
    training = settings.training
    is_parted = training.shard == "full" and ranks.count > 1
    machine = prepare(
        dtype=training.dtype,
        threads=training.threads,
        deterministic=training.deterministic,
        compiling="never" if is_parted else training.compile,  # compiling what comes and goes in parts was not tried
        budget_seconds=budget_seconds,
        ranks=ranks,
    )
    if is_parted:
        from unmask.training.sharding import shard

        shard(model, model.model.layers, machine.device, ranks.count)
    model.to(machine.device)
    if machine.compile:
        model.compile()
    model.model.gradient_checkpointing = training.gradient_checkpointing
    documents = min(WATCHED_DOCUMENTS, settings.evaluation.documents)
    return Plan(
        model=model,
        objective=OBJECTIVES[settings.objective.name],
        make_batches=batches,
        sources=corpus.source_names,
        evaluate=watching(corpus, general, documents, machine.precision, model.config),
        kept=WeightAverage(model, training.ema),
        machine=machine,
        optimizer=settings.optimizer,
        schedule=settings.schedule,
        training=training,
        gauge=_gauge(model, training.row_length, machine),
        max_steps=0,
        ranks=ranks,
        rows_at_once=RowsAtOnce(may_halve=ranks.count == 1),
    )


def _gauge(model: MaskedLM, row_length: int, machine: Machine) -> Gauge:
    """Return what tells the utilisation of ``machine`` by ``model``; it is measured here."""
    at_none, at_all = (flops_per_token(model.config, row_length, share).total for share in (0.0, 1.0))
    peak = matmul_peak(machine.dtype, threads=machine.threads, device=machine.device)
    return Gauge(at_none, at_all - at_none, peak * machine.ranks)


def of_length(plan: Plan, batches: StepBatches, max_steps: int, branched: Course | None = None) -> Plan:
    """Return ``plan`` for a run of ``max_steps``, over which the rate of masking goes its way.

    ``branched`` is the way of the learning rate of a run that goes on past its first end.
    """
    whole = replace(batches, rows_in_all=max_steps * batches.batch_rows)
    return replace(plan, make_batches=whole, in_force=whole.rate_in_force, max_steps=max_steps, branched=branched)


def max_steps_for(plan: Plan, batches: StepBatches, budget: Budget) -> int:
    """Return how many steps ``budget`` pays for, by a few timed ones where it is in time."""
    return steps_for(
        budget,
        step_tokens=batches.batch_rows * batches.rows.tokens_per_row,
        pace=lambda: timed_steps(trial_steps(plan), plan.ranks.clock),
        overhead_seconds=0.0 if budget.seconds is None else evaluation_seconds(plan),
    )


def evaluation_seconds(plan: Plan) -> float:
    """Return the seconds that the evaluations of a run take, on its way and at its end, by two of them."""

    def once() -> float:
        start = plan.ranks.clock()
        plan.evaluate(plan.model)
        return plan.ranks.clock() - start

    return EVALUATIONS * min(once() for _ in range(2))  # the first is cold
