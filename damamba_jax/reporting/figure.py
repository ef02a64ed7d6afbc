"""Figures that every picture starts from: size, colours, axes and files."""

import os
import textwrap
import warnings

from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from damamba_jax.errors import printable
from damamba_jax.files import replace_file

ANNOTATION, PREDICTION = "#1a1a1a", "#0072b2"


# By role, so that a person keeps one colour in all panels.
PARTNERS = ("#e69f00", "#cc79a7", "#009e73", "#d55e00")


DENSITY = LinearSegmentedColormap.from_list(
    "density", ["#d3e5f2", PREDICTION, "#001a33"]
)


QUIET, GRID = "#6b6b6b", "#e6e6e6"


DPI = 150


def make_figure(width: float, height: float) -> Figure:
    """Makes an empty figure, in inches, that Agg renders."""
    figure = Figure(figsize=(width, height), facecolor="white")
    figure.set_layout_engine("constrained", w_pad=0.08, h_pad=0.07)
    FigureCanvasAgg(figure)
    return figure


def set_title(figure: Figure, title: str, mark: str) -> None:
    """Writes the title, and the mark of where the data came from, if any."""
    text = printable(f"{title} · {mark}" if mark else title)
    columns = int(figure.get_figwidth() * 9.5)
    # A name from disk may hold a `$`, which begins no formula.
    figure.suptitle(
        "\n".join(textwrap.wrap(text, columns)),
        fontsize=13,
        ha="center",
        parse_math=False,
    )


def tidy(axes: Axes) -> None:
    """Leaves of an axes' frame what is needed to read it; a tick every 0.25."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(QUIET)
    axes.tick_params(colors="#333333", labelsize=10, length=3)
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.yaxis.set_major_locator(ticker.MultipleLocator(0.25))


def save(figure: Figure, path: str | os.PathLike) -> None:
    """Writes a PNG that appears in one move."""
    with replace_file(path) as file, warnings.catch_warnings():
        # A letter that the font lacks becomes a box.
        warnings.filterwarnings("ignore", message="Glyph")
        figure.savefig(file, dpi=DPI, format="png")
