"""Charts as inline SVG: lines with reference levels, and bars, drawn by matplotlib and coloured by the page.

Matplotlib is given stand-in colours that are afterwards replaced by CSS variables, so a chart follows the light or dark
scheme of its page; text stays text. Each chart is drawn twice, for wide and for narrow screens, because a scaled chart
has unreadable labels on a telephone. What bites: matplotlib's settings are global while a chart is being drawn, so only
one thread may draw at a time.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from markupsafe import Markup

from unmask.errors import MissingExtra

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

# stand-in colour of each CSS variable: values that nothing else in matplotlib uses
COLOURS = {
    "ink": "#fe0101",
    "muted": "#fe0202",
    "grid": "#fe0303",
    **{f"series-{place}": f"#fe0{place + 3:x}0{place + 3:x}" for place in range(1, 9)},
}
SOLID, DASHED, DOTTED, MIXED = "-", (0, (6, 2)), (0, (2, 1.5)), (0, (6, 2, 1.5, 2))
LINE_STYLES = {f"series-{place}": style for place, style in enumerate((SOLID, DASHED, DOTTED, MIXED) * 2, start=1)}
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text
    "text.parse_math": False,  # a dollar sign is a dollar sign
    "font.family": "DejaVu Sans",  # comes with matplotlib; the page puts its own in its place
    "font.size": 12.5,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "axes.axisbelow": True,
    "axes.edgecolor": COLOURS["grid"],
    "axes.labelcolor": COLOURS["muted"],
    "grid.color": COLOURS["grid"],
    **{f"{axis}tick.color": COLOURS["grid"] for axis in "xy"},
    **{f"{axis}tick.labelcolor": COLOURS["muted"] for axis in "xy"},
    "ytick.major.size": 0,
}
WIDE, NARROW = 828, 358  # CSS pixels: the column of the page, and a 390 pixel telephone without its margins
CHARACTER, BOLD_CHARACTER, LINE = 7.2, 8.2, 16  # pixels to set aside for one character and for one line of text

Draw = Callable[["Canvas", int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """A line: ``y`` over ``x``, None where nothing was measured, in the colour of a CSS variable of COLOURS.

    ``low`` and ``high`` are the ends of intervals, where there are any, and are drawn as a band.
    """

    label: str
    x: Sequence[float]
    y: Sequence[float | None]
    colour: str = "series-1"
    markers: bool = False
    low: Sequence[float | None] = ()
    high: Sequence[float | None] = ()

    def last(self) -> float | None:
        """Return the last value that was measured."""
        return next((value for value in reversed(self.y) if value is not None), None)


@dataclass(frozen=True, slots=True)
class Level:
    """A reference line: across the values of lines, or down through bars."""

    label: str
    value: float
    colour: str = "muted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A bar, the text at its end and, where known, its interval."""

    value: float
    text: str
    colour: str = "series-1"
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class BarRow:
    """Bars under one label."""

    label: str
    bars: Sequence[Bar]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A drawn chart, a block of a page: ``title`` is its caption, ``description`` what one sees, in words."""

    template: ClassVar[str] = "chart.html.j2"
    title: str
    description: str
    wide: Markup
    narrow: Markup


def line_chart(
    name: str,
    *,
    title: str,
    description: str,
    x_label: str,
    y_label: str,
    series: Sequence[Series],
    levels: Sequence[Level] = (),
    counts: Sequence[float] = (),
) -> Chart:
    """Draw lines with their names and last values at the right end; the y axis holds 0. Raises MissingExtra.

    ``name`` is unique on the page; the labels of the axes state units. Where x are ``counts``, its axis is logarithmic
    and names each of them.
    """

    def draw(canvas: Canvas, width: int) -> None:
        ends = [(line.label, line.last(), line.colour) for line in series]
        ends += [(level.label, level.value, level.colour) for level in levels]
        labels = [(f"{label} {value:.2f}", value, colour) for label, value, colour in ends if value is not None]
        margin = 14 + BOLD_CHARACTER * max((len(text) for text, _, _ in labels), default=0)
        axes = _axes(canvas, left=54, right=min(margin, 0.4 * width), bottom=40, top=10)
        for level in levels:
            axes.axhline(level.value, color=COLOURS[level.colour], linewidth=1.5, linestyle=(0, (1, 2)))
        for line in series:
            _draw_line(axes, line)
        axes.set_ylim(bottom=None if axes.dataLim.ymin < 0 else 0)
        axes.margins(x=0.02)
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
        if counts:
            axes.set_xscale("log")
            axes.minorticks_off()
            axes.set_xticks(counts, [f"{count:,.0f}" for count in counts])
        else:
            axes.locator_params(axis="x", nbins=4 if width == NARROW else 8)
        _name_ends(axes, labels)

    return _chart(name, title=title, description=description, height=340, draw=draw)


def bar_chart(
    name: str, *, title: str, description: str, x_label: str, rows: Sequence[BarRow], level: Level | None = None
) -> Chart:
    """Draw bars from 0 to the right, a row's label above its bars, a bar's text at its end. Raises MissingExtra."""
    thickness, heading, space = 17, 22, 10  # pixels
    inner = sum(heading + space + thickness * len(row.bars) for row in rows)
    bars = [bar for row in rows for bar in row.bars]
    top = LINE if level else 0

    def draw(canvas: Canvas, width: int) -> None:
        margin = 14 + CHARACTER * max((len(bar.text) for bar in bars), default=0)
        axes = _axes(canvas, left=12, right=min(margin, 0.45 * width), bottom=40, top=top)
        longest = max([*(max(bar.value, bar.high or 0) for bar in bars), level.value if level else 0])
        axes.set_xlim(0, longest or 1)
        axes.set_ylim(inner, 0)
        axes.yaxis.set_visible(False)
        axes.grid(visible=True, axis="x")
        axes.locator_params(axis="x", nbins=4 if width == NARROW else 8)
        axes.set_xlabel(x_label, loc="left")
        place = 0.0
        for row in rows:
            axes.annotate(row.label, (0, place + heading - 5), color=COLOURS["ink"], annotation_clip=False)
            place += heading
            for bar in row.bars:
                _draw_bar(axes, bar, place + thickness / 2, thickness - 3)
                place += thickness
            place += space
        if level:
            _draw_down(axes, level)

    return _chart(name, title=title, description=description, height=inner + 40 + top, draw=draw)


def spread(wanted: Sequence[float], gap: float) -> list[float]:
    """Return places nearest to ``wanted`` (least squares) that keep its order and lie at least ``gap`` apart.

    With the gaps subtracted this is isotonic regression, solved by pooling neighbours that violate the order.
    """
    order = sorted(range(len(wanted)), key=lambda index: wanted[index])
    pools: list[tuple[float, int]] = []  # (mean, members)
    for rank, index in enumerate(order):
        mean, members = wanted[index] - rank * gap, 1
        while pools and pools[-1][0] > mean:
            other, others = pools.pop()
            mean, members = (mean * members + other * others) / (members + others), members + others
        pools.append((mean, members))
    level = [mean for mean, members in pools for _ in range(members)]
    places = [0.0] * len(wanted)
    for rank, index in enumerate(order):
        places[index] = level[rank] + rank * gap
    return places


def _draw_line(axes: Axes, line: Series) -> None:
    y, low, high = (
        [float("nan") if value is None else value for value in values] for values in (line.y, line.low, line.high)
    )
    if low:
        axes.fill_between(line.x, low, high, color=COLOURS[line.colour], alpha=0.15, linewidth=0)
    style: Any = LINE_STYLES.get(line.colour, "-")
    marker = "o" if line.markers else ""
    axes.plot(line.x, y, color=COLOURS[line.colour], linewidth=2, linestyle=style, marker=marker, markersize=4.5)


def _draw_bar(axes: Axes, bar: Bar, middle: float, thickness: float) -> None:
    axes.barh(middle, bar.value, height=thickness, color=COLOURS[bar.colour])
    end = bar.value
    if bar.low is not None and bar.high is not None:
        axes.plot([bar.low, bar.high], [middle, middle], color=COLOURS["ink"], linewidth=1.5, clip_on=False)
        end = max(end, bar.high)
    axes.annotate(
        bar.text, (end, middle), xytext=(6, 0), textcoords="offset pixels", va="center", color=COLOURS["ink"],
        annotation_clip=False,
    )  # fmt: skip


def _draw_down(axes: Axes, level: Level) -> None:
    """Draw a level through all bars, its name above them."""
    axes.axvline(level.value, color=COLOURS["ink"], linewidth=1.5, linestyle=(0, (1, 2)))
    axes.annotate(
        level.label, (level.value, 1), xycoords=("data", "axes fraction"), xytext=(0, 4),
        textcoords="offset pixels", ha="center", color=COLOURS[level.colour], annotation_clip=False,
    )  # fmt: skip


def _name_ends(axes: Axes, labels: Sequence[tuple[str, float, str]]) -> None:
    """Write each line's name to the right of the plot at the height of its last value, without overlaps."""
    height = axes.bbox.height
    low, high = axes.get_ylim()
    places = spread([(value - low) / (high - low) * height for _, value, _ in labels], gap=LINE)
    for (text, _, colour), place in zip(labels, places, strict=True):
        axes.annotate(
            text, (1, 0), xycoords="axes fraction", xytext=(8, place), textcoords="offset pixels", va="center",
            color=COLOURS[colour], fontweight="bold", annotation_clip=False,
        )  # fmt: skip


def _axes(canvas: Canvas, *, left: float, right: float, bottom: float, top: float) -> Axes:
    """Return axes that fill the canvas up to margins in pixels, so that the layout does not hang on installed fonts."""
    width, height = canvas.bbox.width, canvas.bbox.height
    box = (left / width, bottom / height, (width - left - right) / width, (height - bottom - top) / height)
    axes = canvas.add_axes(box)
    axes.grid(visible=True, axis="y")
    axes.spines[["top", "right", "left"]].set_visible(False)
    return axes


def _chart(name: str, *, title: str, description: str, height: int, draw: Draw) -> Chart:
    wide, narrow = (
        _svg(f"{name}-{width}", title=title, description=description, width=width, height=height, draw=draw)
        for width in (WIDE, NARROW)
    )
    return Chart(title=title, description=description, wide=wide, narrow=narrow)


def _svg(name: str, *, title: str, description: str, width: int, height: int, draw: Draw) -> Markup:
    """Return the drawing as an ``<svg>`` element; the same input gives the same bytes."""
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtra("train", "matplotlib") from None
    with mpl.rc_context({**STYLE, "svg.hashsalt": name}):
        figure = Figure(figsize=(width / 72, height / 72), dpi=72)  # 72 dots an inch: a point is a pixel
        draw(figure, width)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    drawing = text.getvalue()
    start = drawing.index(">", drawing.index("<svg")) + 1
    opening = Markup(
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" class="drawing"'
        ' viewBox="0 0 {w} {h}" width="{w}" height="{h}" role="img" aria-labelledby="{n}-title {n}-desc">'
        '<title id="{n}-title">{title}</title><desc id="{n}-desc">{description}</desc>'
    ).format(w=width, h=height, n=name, title=title, description=description)
    return opening + Markup(_for_page(drawing[start:]))  # noqa: S704 -- matplotlib has escaped the labels


def _for_page(drawing: str) -> str:
    """Make the inside of matplotlib's SVG fit for a page with several: its colours, no id twice, no stray style."""
    drawing = re.sub(r"<!--.*?-->|<defs>\s*<style.*?</style>\s*</defs>", "", drawing, flags=re.DOTALL)
    drawing = re.sub(r'<g id="[^"]*"', "<g", drawing)
    for variable, stand_in in COLOURS.items():
        drawing = drawing.replace(stand_in, f"var(--{variable})")
    return re.sub(r"\s*\n\s*", "\n", drawing)
