"""How measured figures are said on the terminal.

What bites: it must load no torch, so that looking at runs is quick.
"""

from __future__ import annotations

from typing import Any

from unmask.cli.terminal import Terminal, duration, rate


def print_figures(terminal: Terminal, mlm: dict[str, Any]) -> None:
    """Print the table of cross entropies beside the unigram line, and what became of the gap between them."""
    is_hidden = hides(mlm["cross_entropy"])
    rows = [
        (name, in_brackets(mlm["cross_entropy"][name]), in_brackets(mlm["unigram"][name]))
        for name in (("masked", "random", "kept", "all") if is_hidden else ("all",))
    ]
    terminal.table(["held-out, in nats", "cross entropy", "unigram line"], rows)
    if mlm["gap"] is not None:
        right = mlm["accuracy"]["masked"]
        where = "At [MASK]" if is_hidden else "Reading from left to right"
        terminal.result(f"{where} the model is {_gap_in_words(mlm['gap'])};")
        terminal.result(
            f"the right token is first for {right['1']['value']:.1%}, among five for {right['5']['value']:.1%}."
        )


def hides(by_kind: dict[str, Any]) -> bool:
    """Say whether tokens were hidden; a model that reads from left to right has one kind of position."""
    return not (by_kind.get("random") is None and by_kind.get("kept") is None)


def print_forgotten(terminal: Terminal, evaluation: dict[str, Any]) -> None:
    """Print what became of general text, where a run looked at some."""
    if "general" in evaluation:
        before, after, more = (evaluation["general"][name] for name in ("before", "after", "forgotten"))
        terminal.result(
            f"General text: {before['value']:.3f} nats at [MASK] before, {after['value']:.3f} after; "
            f"forgotten: {more['value']:+.3f} [{more['low']:+.3f}, {more['high']:+.3f}]."
        )


def in_brackets(figure: dict[str, Any] | None) -> str:
    """Return a figure with its interval, as in ``4.020 [3.981, 4.060]``."""
    return f"{figure['value']:.3f} [{figure['low']:.3f}, {figure['high']:.3f}]" if figure else "none asked"


def _gap_in_words(gap: dict[str, Any]) -> str:
    if gap["low"] > 0:
        return f"{in_brackets(gap)} nats better than word frequency"
    if gap["high"] < 0:
        worse = {"value": -gap["value"], "low": -gap["high"], "high": -gap["low"]}
        return f"{in_brackets(worse)} nats worse than word frequency"
    return f"not told apart from word frequency, {in_brackets(gap)} nats"


def print_task(terminal: Terminal, evaluation: dict[str, Any]) -> None:
    """Print what a fine-tuning reached beside floors and controls, or a label curve, or a comparison."""
    if "comparison" in evaluation:
        print_comparison(terminal, evaluation["comparison"])
        return
    if "curve" in evaluation:
        _print_curve(terminal, evaluation["curve"])
        return
    task = evaluation["task"]
    rows = [("this model", in_brackets(task["figures"][task["headline"]]), "")]
    for name, control in task["controls"].items():
        rows.append((f"{name} (control)", f"{control['value']:.3f}", in_brackets(control["difference"])))
    if "probe" in task:
        rows.append(("frozen states, linear probe", in_brackets(task["probe"][task["headline"]]), ""))
    for name, floor in task["floors"].items():
        rows.append((f"{name} (floor)", in_brackets(floor[task["headline"]]), ""))
    held_out = f"{task['headline']} on {task['examples']['held_out']:,} {task['held_out']} examples"
    terminal.table(["", held_out, "this model minus it"], rows)
    if task["held_out"] == "development":
        terminal.result("The weights were chosen on these examples: give --test for a figure to be quoted.")


def _print_curve(terminal: Terminal, curve: dict[str, Any]) -> None:
    columns = [f"{curve['figure']} by labels", *(f"{count:,}" for count in curve["counts"])]
    rows = [
        (arm, *(in_brackets(by_count[str(count)]) for count in curve["counts"]))
        for arm, by_count in curve["arms"].items()
    ]
    rows += [
        (f"{floor} (floor)", *(f"{by_count[str(count)]:.3f}" for count in curve["counts"]))
        for floor, by_count in curve["floors"].items()
    ]
    terminal.table(columns, rows)
    if curve["seeds"] == 2:
        terminal.result("Brackets are the range of the two seeds; an interval takes three.")
    for name, difference in curve["differences"].items():
        terminal.result(f"{name}: {in_brackets(difference)}, p {difference['p_holm']:.3f} (Holm)")


def print_comparison(terminal: Terminal, comparison: dict[str, Any]) -> None:
    """Print what each arm reached and costs, and the verdict."""
    arms, counts = comparison["arms"], [str(count) for count in comparison["counts"]]
    columns = [f"{comparison['figure']} by labels", *(f"{int(count):,}" for count in counts)]
    quality = comparison["quality"]
    terminal.table(
        columns,
        [(arm["short"], *(in_brackets(quality[name][count]) for count in counts)) for name, arm in arms.items()],
    )
    rows = [
        (
            arm["short"],
            duration(arm["pretraining"]["seconds"]) if arm["pretraining"] else "",
            duration(arm["finetuning"]["seconds"]),
            f"{arm['serving']['parameters']:,}" if arm["serving"] else "",
            f"{arm['serving']['milliseconds']:.1f}" if arm["serving"] else "",
            rate(arm["serving"]["tokens_per_second"], "tok") if arm["serving"] else "",
        )
        for arm in arms.values()
    ]
    terminal.table(["cost", "pre-training", "fine-tuning", "weights", "ms a text", "speed"], rows)
    terminal.title(comparison["verdict"]["title"])
    for sentence in comparison["verdict"]["sentences"]:
        terminal.result(sentence)


def progress_of(line: dict[str, Any], max_steps: int) -> tuple[str, int, int, str]:
    """Return the stage, the step, the steps in all and the words that a line of telemetry is shown as."""
    step = line["step"]
    left = (max_steps - step) * line["seconds"] / step if step else 0.0
    match line["kind"]:
        case "train":
            losses = " ".join(
                f"{name} {line[name]:.2f}"
                for name in ("masked", "random", "kept", "next")
                if line.get(name) is not None
            )
            used = f" ({line['utilisation']:.0%} of peak)" if "utilisation" in line else ""
            speed = f"{rate(line['tokens_per_second'], 'tok')}{used}"
            return "training", step, max_steps, f"{losses}  {speed}{_held(line)}  {duration(left)} left"
        case "evaluation":
            where = "[MASK]" if hides(line) else "next token"
            words = f"held-out {where} {line['masked']:.3f}, unigram {line['unigram']['masked']:.3f}"
            return "training", step, max_steps, words
        case _:
            return "training", step, max_steps, f"{line['kind']} at step {step}"


def _held(line: dict[str, Any]) -> str:
    """Return how many rows memory holds at once, where that turned out to be less than what was asked for."""
    return f"  {line['micro_batch_rows']} rows at once" if "micro_batch_rows" in line else ""
