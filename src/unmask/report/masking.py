"""What a run's recipe hid in truth: effective rates beside the recipe's, in all and by kind of token.

What bites: nobody should train for weeks on a recipe that is not what they thought, so a part that is off is said in
words at the top, not left to be found in a table.
"""

from __future__ import annotations

from collections.abc import Sequence

from unmask.report.charts import Bar, BarRow, Chart, Level, bar_chart
from unmask.report.html import Block, Details, Json, Prose, Section, Table, at, decimals, number, percent
from unmask.report.learning import KINDS

PARTS = {
    "word_length": "By the length of the word",
    "frequency": "By how often the token occurs in the training text",
    "position": "By where the token stands",
    "source": "By source",
}
_Z = 1.96  # standard errors to each side of 95 %


def masking(run: Json, settings: Json) -> Section | None:
    """Return the section on what was hidden; None where it was not measured."""
    measured = at(run, "mask_rates")
    if not isinstance(measured, dict) or number(measured.get("selected")) is None:
        return None
    blocks: list[Block] = [*_warnings(measured), _overall(measured, settings), _where(measured)]
    parts = at(measured, "by")
    cells = {part: _cells(parts, part) for part in PARTS}
    recipe = number(measured.get("recipe"))
    blocks += [chart for part in ("word_length", "frequency") if (chart := _chart(part, cells[part], recipe))]
    tables = [_table(PARTS[part], cells[part]) for part in PARTS if cells[part]]
    if tables:
        blocks.append(Details("The figures behind the charts, and by position and source", tables))
    return Section("masking", "What was hidden", blocks)


def _cells(parts: object, part: str) -> list[Json]:
    found = at(parts, part)
    listed = found if isinstance(found, Sequence) and not isinstance(found, str) else []
    return [cell for cell in listed if isinstance(cell, dict) and number(cell.get("selected")) is not None]


def _warnings(measured: Json) -> list[Block]:
    parts = at(measured, "by")
    off = [str(cell.get("name")) for part in PARTS for cell in _cells(parts, part) if cell.get("is_off") is True]
    if measured.get("is_off") is not True and not off:
        return []
    where = f" Look at: {', '.join(off)}." if off else ""
    return [
        Prose(f"The rates below are not those that the recipe asks for, by more than chance allows.{where}", note=True)
    ]


def _overall(measured: Json, settings: Json) -> Table:
    """Return the rates of all ordinary tokens beside the recipe's; of a rate that changes, at its beginning and end."""
    chosen = at(settings, "masking")
    as_mask, as_random = (number(at(chosen, key)) for key in ("mask_replace_prob", "random_replace_prob"))
    shares = {"selected": 1.0, "masked": as_mask, "random": as_random}
    shares["kept"] = None if as_mask is None or as_random is None else 1 - as_mask - as_random
    first, last = number(at(chosen, "mlm_probability")), number(at(chosen, "final_probability"))
    ends = [(first, measured, "")]
    if at(measured, "end") is not None:
        ends = [(first, measured, " at the start"), (last, measured["end"], " at the end")]
    columns = ["Tokens", *(f"{what}{when}" for _, _, when in ends for what in ("By the recipe", "Measured"))]
    names = {"selected": "selected, in all"} | {name: f"{name}: {text}" for name, text in KINDS.items()}
    rows = []
    for key, text in names.items():
        share, row = shares[key], [text]
        for rate, cell, _ in ends:
            wanted = None if share is None or rate is None else rate * share
            row += [percent(wanted, 2), percent(at(cell, key), 2)]
        rows.append(row)
    return Table("Mask rates, as shares of the tokens that may be hidden", columns, rows)


def _where(measured: Json) -> Block:
    where = f"Measured before the training, on the first {decimals(measured.get('tokens'), 0)} tokens of the run."
    unasked = percent(measured.get("windows_unasked"))
    words = f"{where} In {unasked} of the windows nothing was selected: they teach nothing that time."
    shares = measured.get("window_shares")
    if isinstance(shares, Sequence) and len(shares) == 3:
        words += f" Nine in ten have {percent(shares[0], 0)} to {percent(shares[2], 0)} of their tokens selected."
    return Prose(words)


def _chart(part: str, cells: Sequence[Json], recipe: float | None) -> Chart | None:
    rows, said = [], []
    for cell in cells:
        selected, error = number(cell.get("selected")), number(cell.get("error"))
        if selected is None or error is None:
            continue
        bar = Bar(
            value=100 * selected,
            text=percent(selected),
            low=100 * max(0.0, selected - _Z * error),
            high=100 * min(1.0, selected + _Z * error),
        )
        rows.append(BarRow(str(cell.get("name")), [bar]))
        said.append(f"{cell.get('name')}: {percent(selected)}, the recipe asks for {percent(cell.get('recipe'))}")
    if not rows:
        return None
    return bar_chart(
        f"masked-{part}",
        title=f"Share of tokens selected. {PARTS[part]}",
        description=f"{'; '.join(said)}.",
        x_label="percent of tokens selected",
        rows=rows,
        level=None if recipe is None else Level("the recipe", 100 * recipe),
    )


def _table(caption: str, cells: Sequence[Json]) -> Table:
    columns = ("Tokens", "Number", "By the recipe", "Selected", *KINDS)
    keys = ("recipe", "selected", *KINDS)
    rows = [
        (str(cell.get("name")), decimals(cell.get("tokens"), 0), *(percent(cell.get(key), 2) for key in keys))
        for cell in cells
    ]
    return Table(caption, columns, rows)
