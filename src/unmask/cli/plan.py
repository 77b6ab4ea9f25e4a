"""``unmask plan``: what a pre-training would cost here, before anything is spent. It writes no file.

What bites: the speed is that of a few steps on the machine as it is now; what else runs on it counts.
"""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Annotated, Any

import typer

from unmask.cli.planning import (
    PretrainSettings,
    evaluation_seconds,
    masking_with,
    of_length,
    plan_for,
    pretrain_settings,
    seeded,
    step_batches,
)
from unmask.cli.pretrain import BUDGET
from unmask.cli.starting import MODEL, first_model, shape_for
from unmask.cli.terminal import JsonFlag, QuietFlag, SeedOption, Terminal, count, duration, rate
from unmask.corpus.directory import open_corpus
from unmask.inference.resolve import resolve
from unmask.model.flops import flops_per_token, num_parameters
from unmask.training.budget import Budget, parse_budget, steps_for, timed_steps
from unmask.training.cost import (
    RULE,
    Shape,
    activation_bytes,
    encoder_parameters,
    largest_enough,
    memory_of,
    sizes,
)
from unmask.training.loop import Plan, trial_steps
from unmask.training.machine import peak_memory


def plan(
    corpus: Annotated[Path, typer.Option(help="A corpus directory.")],
    recipe: Annotated[
        list[str] | None, typer.Argument(metavar="RECIPE|group.key=value", help="A YAML file, and settings over it.")
    ] = None,
    budget: Annotated[str, typer.Option(help="NUMBER(s|m|h|d|tok|steps).")] = BUDGET,
    init: Annotated[str | None, typer.Option(help=f"A model to start from. {MODEL}")] = None,
    seed: SeedOption = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Say what a pre-training would cost here: memory, time, tokens. Nothing is spent."""
    terminal = Terminal(json=json, quiet=quiet)
    settings = pretrain_settings([*(recipe or []), *seeded(seed)])
    figures = planned(corpus, settings, parse_budget(budget), init)
    terminal.emit({"budget": budget, **figures})
    print_plan(terminal, figures, budget)
    words = [*(recipe or []), f"--corpus {corpus}", "--out RUN", f"--budget {budget}"]
    terminal.next_step(f"unmask pretrain {' '.join(words)}{f' --init {init}' if init else ''}")


def planned(where: Path, settings: PretrainSettings, budget: Budget, init: str | None = None) -> dict[str, Any]:
    """Return the figures of a plan. Raises UserError where the run could not be started."""
    corpus = open_corpus(where)
    corpus.keeps = False
    settings = settings.model_copy(update={"masking": masking_with(settings.masking, None)})
    base = None if init is None else resolve(Path(init))
    config = shape_for(corpus, settings.model, settings.training.row_length, base, settings.objective)
    batches = step_batches(corpus, settings)
    held_before = peak_memory()
    model = first_model(config, corpus, settings.training.seed, base)
    open_plan = plan_for(corpus, settings, model, batches, budget.seconds or 0.0, None)
    assert open_plan.gauge, "the plan of a pre-training has one"
    memory = memory_of(open_plan, config, activation_bytes(open_plan))
    step_seconds, spent = timed_steps(trial_steps(open_plan))
    held = peak_memory()
    evaluations = evaluation_seconds(open_plan)
    steps = steps_for(
        budget,
        step_tokens=batches.batch_rows * batches.rows.tokens_per_row,
        pace=lambda: (step_seconds, spent),
        overhead_seconds=evaluations,
    )
    tokens, asked = _tokens_of_a_step(of_length(open_plan, batches, steps))
    shape = Shape(row_length=settings.training.row_length, filled=batches.rows.efficiency, asked=asked / tokens)
    preset = None if base else settings.model.preset
    rows = [] if base else sizes(config, shape, memory, steps * tokens, preset)
    return {
        "model": {
            "preset": preset,
            "parameters": num_parameters(config),
            "encoder_parameters": encoder_parameters(config),
        },
        "flops_per_token": {
            "forward": flops_per_token(config, shape.row_length, shape.asked).forward,
            "total": shape.flops(config),
            "asked": shape.asked,
        },
        "memory": {**memory, "measured": held - held_before, "process": held},
        "speed": {
            "step_seconds": step_seconds,
            "tokens_per_second": tokens / step_seconds,
            "matmul_peak": open_plan.gauge.peak,
            "utilisation": open_plan.gauge.utilisation(tokens, asked, step_seconds),
            "threads": open_plan.machine.threads,
            "dtype": str(open_plan.machine.dtype).removeprefix("torch."),
        },
        "run": {
            "steps": steps,
            "seconds": steps * step_seconds + evaluations + spent,
            "tokens": round(steps * tokens),
            "tokens_per_parameter": steps * tokens / encoder_parameters(config),
            "passes": steps * batches.batch_rows / batches.rows.num_rows,
            "packing": shape.filled,
        },
        "presets": rows,
        "largest": largest_enough(rows),
        "rule": RULE,
    }


def _tokens_of_a_step(plan: Plan) -> tuple[float, float]:
    """Return how many tokens the middle step of the run holds, and how many of them are asked for."""
    batches = plan.make_batches(plan.max_steps // 2)
    return float(sum(int(batch.source_tokens().sum()) for batch in batches)), float(
        sum(batch.num_asked for batch in batches)
    )


def _short(number: float) -> str:
    """Return a number as the field writes it: 5.38M, 827k."""
    for bound, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if number >= bound:
            return f"{number / bound:.3g}{letter}"
    return f"{number:.3g}"


def _gigabytes(size: float) -> str:
    return f"{size / 1e9:.2f}"


def print_plan(terminal: Terminal, figures: dict[str, Any], budget: str) -> None:
    """Print what a plan found, and the presets beside each other."""
    model, flops, memory = figures["model"], figures["flops_per_token"], figures["memory"]
    speed, run = figures["speed"], figures["run"]
    parts = ", ".join(
        f"{name} {_gigabytes(memory[name])}"
        for name in ("weights", "gradients", "optimizer", "average", "activations")
        if memory[name]
    )
    terminal.facts(
        [
            (
                "parameters",
                f"{_short(model['parameters'])}, {_short(model['encoder_parameters'])} without the table of tokens",
            ),
            ("operations", f"{_short(flops['total'])} a token there and back, {flops['asked']:.0%} of them asked for"),
            ("memory", f"{_gigabytes(memory['sum'])} GB by estimate ({parts})"),
            ("", f"{_gigabytes(memory['measured'])} GB measured: what the process grew by with the trial steps"),
            ("speed", f"{rate(speed['tokens_per_second'], 'tok')}, {duration(speed['step_seconds'])} a step here"),
            (
                "",
                f"{speed['utilisation']:.0%} of the peak of matrix products ({_short(speed['matmul_peak'])} a second)",
            ),
            (
                f"in {budget}",
                f"{count(run['steps'])} steps, {_short(run['tokens'])} tokens, {duration(run['seconds'])}",
            ),
            (
                "",
                f"{run['passes']:.3g} passes over the corpus, {_short(run['tokens_per_parameter'])} tokens a parameter",
            ),
        ]
    )
    if not figures["presets"]:
        return
    terminal.table(
        ["in that time", "parameters", "tokens", "tokens a parameter", "GB", "enough"],
        [
            (
                row["preset"],
                _short(row["parameters"]),
                _short(row["tokens"]),
                _short(row["tokens_per_parameter"]),
                _gigabytes(row["memory"]),
                "yes" if row["is_enough"] else "no",
            )
            for row in figures["presets"]
        ],
    )
    largest = figures["largest"]
    terminal.result(
        f"The largest preset that sees enough in that time is {largest}."
        if largest
        else "No preset sees enough in that time; the smallest comes nearest."
    )
    terminal.result(textwrap.fill(f"{figures['rule'][0].upper()}{figures['rule'][1:]}.", 80))
