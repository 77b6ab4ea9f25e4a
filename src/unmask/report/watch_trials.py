"""Of the report of a watched model: estimates without labels beside labels, and alarms tried on the reference."""

from __future__ import annotations

from collections.abc import Sequence

from unmask.report.html import ABSENT, Block, Json, Prose, Section, Table, at, decimals, objects, percent, read_figure


def accuracy(latest: Json | None, labels: Sequence[Json]) -> Section:
    """Return what is estimated of the newest window, and how earlier estimates held."""
    refused, estimates = (at(latest, "quality", key) for key in ("refused", "estimates"))
    blocks: list[Block] = []
    if refused:
        blocks.append(Prose(f"Nothing is estimated: {refused}.", note=True))
    elif estimates:
        rows = [
            (words, figure.percent() if (figure := read_figure(estimates.get(name))) else ABSENT)
            for name, words in (
                ("average_confidence", "Average confidence, corrected by labelled requests"),
                ("thresholded", "Average thresholded confidence"),
            )
        ]
        blocks.append(Table("The newest window", ("Estimate", "Accuracy"), rows))
    tested = [
        (
            str(one["file"]),
            decimals(at(one, "back_test", "count"), 0),
            figure.percent()
            if (figure := read_figure(at(one, "back_test", "estimates", "average_confidence")))
            else "",
            percent(at(one, "back_test", "accuracy")),
        )
        for one in labels
        if one.get("back_test")
    ]
    if tested:
        columns = ("Labelled window", "Texts", "Estimated before", "True")
        blocks.append(Table("What was estimated, and what the labels then said", columns, tested))
    text = "Estimates believe the model's own confidence, after labels have shown how far it can be believed."
    return Section("accuracy", "Accuracy without labels", [Prose(text), *blocks])


def tried(found: Json) -> Section:
    """Return what the self-test found."""
    false = read_figure(found.get("false_alarms_a_month"))
    wished = f"{found['wished_a_month']:g}"
    text = (
        f"On parts of the reference that were held out there were {false.text()} false alarms a month; {wished} were "
        f"asked for. Windows hold some {decimals(found['rows_of_a_window'], 0)} requests."
        if false
        else "The reference is too short to hold any of it out."
    )
    rows = [
        (
            one["name"],
            percent(one["share"], 0),
            figure.percent(0) if (figure := read_figure(one.get("noticed"))) else ABSENT,
            decimals(one["windows"], 0),
            decimals(one["requests"], 0),
        )
        for one in objects(found.get("shifts"))
    ]
    columns = ("Shift", "Of the requests", "Noticed within a week of windows", "After windows", "Requests")
    return Section(
        "selftest",
        "Tried on the reference itself",
        [Prose(text), Table("Shifts that were put into it", columns, rows)],
    )
