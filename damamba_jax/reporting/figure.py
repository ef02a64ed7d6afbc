"""Common parts of all pictures: size, colours, axes and files."""

import functools
import os
import textwrap
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from matplotlib import rc_context, ticker
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from damamba_jax.errors import printable
from damamba_jax.files import replace_file

_P = ParamSpec("_P")
_R = TypeVar("_R")

ANNOTATION, PREDICTION = "#1a1a1a", "#0072b2"


# Colours of the roles; a person has the same colour in all panels.
PARTNERS = ("#e69f00", "#cc79a7", "#009e73", "#d55e00")


DENSITY = LinearSegmentedColormap.from_list(
    "density", ["#d3e5f2", PREDICTION, "#001a33"]
)


# Colour of texts beside the data.
QUIET = "#6b6b6b"


# File that sets the sizes of letters, lines, frames and grids.
STYLE = Path(__file__).with_name("pictures.mplstyle")


def styled(draw: Callable[_P, _R]) -> Callable[_P, _R]:
    """Lets a function draw in the style of all pictures, not in the user's own style.

    Matplotlib reads the style both when it makes a part of a picture and when it writes
    the picture, so the style must hold for the whole function.
    """

    @functools.wraps(draw)
    def wrapped(*args: _P.args, **options: _P.kwargs) -> _R:
        with rc_context(fname=STYLE):
            return draw(*args, **options)

    return wrapped


def make_figure(width: float, height: float) -> Figure:
    """Makes an empty figure, which Agg renders; see `styled`.

    Args:
      width, height: size of the figure, inches.
    """
    figure = Figure(figsize=(width, height))
    figure.set_layout_engine("constrained", w_pad=0.08, h_pad=0.07)
    FigureCanvasAgg(figure)
    return figure


def set_title(figure: Figure, title: str, mark: str) -> None:
    """Writes the title, and the mark of where the data came from, if there is one."""
    text = printable(f"{title} · {mark}" if mark else title)
    columns = int(figure.get_figwidth() * 9.5)
    # A name from disk may hold a `$`, which must not begin a formula.
    figure.suptitle(
        "\n".join(textwrap.wrap(text, columns)), ha="center", parse_math=False
    )


def name_ticks(axis: Axis, names: Sequence[str], **options: Any) -> None:
    """Writes names at 0, 1, ... of an axis.

    Args:
      axis: one axis of a picture.
      names: names from a configuration, which may hold a `$`.
      **options: properties of the texts, such as `rotation`.
    """
    texts = [printable(name) for name in names]
    axis.set_ticks(range(len(names)), texts, parse_math=False, **options)


def tidy(axes: Axes) -> None:
    """Draws horizontal lines, with a tick every 0.25."""
    axes.grid(axis="y")
    axes.yaxis.set_major_locator(ticker.MultipleLocator(0.25))


def save(figure: Figure, path: str | os.PathLike) -> None:
    """Writes a PNG that appears in one move."""
    with replace_file(path) as file, warnings.catch_warnings():
        # A letter that the font lacks is drawn as a box, without a warning.
        warnings.filterwarnings("ignore", message="Glyph")
        figure.savefig(file, format="png")
