"""Pictures of an evaluation: timelines of sessions, and a density of all frames."""

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from damamba_jax.files import short_name, split_file_name
from damamba_jax.metrics.agreement import Agreement
from damamba_jax.metrics.classes import score_classes
from damamba_jax.metrics.intervals import score_by, score_numbers
from damamba_jax.metrics.trace import Trace, pool
from damamba_jax.reporting.figure import (
    ANNOTATION,
    DENSITY,
    PARTNERS,
    PREDICTION,
    QUIET,
    make_figure,
    name_ticks,
    save,
    set_title,
    styled,
    tidy,
)

_log = logging.getLogger(__name__)


@styled
def draw_timeline(
    path: str | os.PathLike, traces: Sequence[Trace], *, mark: str = ""
) -> None:
    """Draws one session: a panel for each person, with annotation and predictions.

    Args:
      path: path of the PNG file.
      traces: traces of all people of the session.
      mark: mark for the title, e.g. `"simulated"`; empty for none.

    Raises:
      ValueError: if there are no traces, or traces of several sessions.
    """
    if len({(trace.split, trace.session) for trace in traces}) != 1:
        raise ValueError(
            f"`traces`: expected those of one session, got "
            f"{sorted({trace.session for trace in traces})}."
        )
    figure = make_figure(11.0, 1.5 + 1.85 * len(traces))
    panels = figure.subplots(len(traces), 1, sharex=True, sharey=True, squeeze=False)
    colours = {
        trace.role: PARTNERS[i % len(PARTNERS)] for i, trace in enumerate(traces)
    }
    handles: dict[str, Line2D] = {}
    for panel, trace in zip(panels[:, 0], traces, strict=True):
        others = [other for other in traces if other is not trace]
        _draw_person(panel, trace, others, colours)
        handles.update({str(line.get_label()): line for line in panel.get_lines()})
    panels[-1, 0].set_xlabel("time in the session (minutes)")
    set_title(figure, f"{traces[0].split} · session {traces[0].session}", mark)
    first = [name for name in ("annotation", "prediction") if name in handles]
    names = first + sorted(set(handles) - set(first))
    figure.legend(
        [handles[name] for name in names], names, loc="outside lower center",
        ncols=6,
    )  # fmt: skip
    save(figure, path)


def draw_pooled(
    path: str | os.PathLike, traces: Sequence[Trace], *, title: str, mark: str = ""
) -> None:
    """Draws annotations against predictions, as a density or as a confusion table.

    Args:
      path: path of the PNG file.
      traces: labelled traces.
      title: title of the picture.
      mark: mark for the title, e.g. `"simulated"`; empty for none.
    """
    draw = draw_confusion if traces[0].classes else draw_scatter
    draw(path, traces, title=title, mark=mark)


@styled
def draw_confusion(
    path: str | os.PathLike, traces: Sequence[Trace], *, title: str, mark: str = ""
) -> None:
    """Draws numbers of frames by annotated and predicted class; see `draw_pooled`."""
    scores = score_classes(traces)
    count = np.array(scores.confusion)
    share = count / np.maximum(count.sum(axis=1, keepdims=True), 1)
    size = len(scores.classes)
    figure = make_figure(3.2 + 0.9 * size, 2.8 + 0.8 * size)
    axes = figure.subplots()
    axes.imshow(share, cmap=DENSITY, vmin=0.0, vmax=1.0)
    for (row, column), number in np.ndenumerate(count):
        dark = share[row, column] > 0.6
        axes.annotate(
            f"{number:,}\n{share[row, column]:.0%}", (column, row), ha="center",
            va="center", fontsize=9, color="white" if dark else "black",
        )  # fmt: skip
    name_ticks(axes.xaxis, scores.classes, rotation=30, ha="right")
    name_ticks(axes.yaxis, scores.classes)
    axes.set(xlabel="predicted class", ylabel="annotated class")
    axes.grid(visible=False)
    about = f"{title} · kappa {scores.kappa:.3f}, accuracy {scores.accuracy:.3f}"
    set_title(figure, about, mark)
    save(figure, path)


@styled
def draw_scatter(
    path: str | os.PathLike, traces: Sequence[Trace], *, title: str, mark: str = ""
) -> None:
    """Draws the density of frames by annotation and prediction; see `draw_pooled`."""
    frames = pool(traces)
    scores = score_numbers(traces)
    both = np.concatenate(frames)
    least, most = _range_of(traces)
    low, high = min(least, float(both.min())), max(most, float(both.max()))
    figure = make_figure(6.6, 5.9)
    axes = figure.subplots()
    counts = axes.hexbin(
        frames.label, frames.prediction, gridsize=60, extent=(low, high, low, high),
        mincnt=1, bins="log", cmap=DENSITY, linewidths=0.1,
    )  # fmt: skip
    axes.plot([low, high], [low, high], color=PARTNERS[0], linewidth=1.2, dashes=(5, 4))
    axes.annotate(
        f"CCC {scores.ccc:.3f}\nr {scores.pearson:.3f}\n"
        f"{scores.num_frames:,} {scores.unit}s",
        (0.04, 0.96), xycoords="axes fraction", va="top", fontsize=11, linespacing=1.4,
    )  # fmt: skip
    axes.set(
        xlim=(low, high), ylim=(low, high), aspect="equal",
        xlabel="annotated engagement", ylabel="predicted engagement",
    )  # fmt: skip
    tidy(axes)
    axes.grid(axis="x")
    axes.xaxis.set_major_locator(ticker.MultipleLocator((most - least) / 4))
    plain = ticker.FuncFormatter(lambda count, _: f"{count:,.0f}")
    bar = figure.colorbar(counts, ax=axes, shrink=0.6, pad=0.03, format=plain)
    bar.set_label(f"{scores.unit}s per cell")
    bar.ax.tick_params(which="minor", length=0)
    bar.outline.set_visible(False)
    set_title(figure, title, mark)
    save(figure, path)


def draw_split(
    folder: str | os.PathLike,
    traces: Sequence[Trace],
    *,
    num_timelines: int,
    mark: str = "",
    only_missing: bool = False,
) -> None:
    """Draws the density of a split, and sessions from the worst to the best.

    The files are `{split}.scatter.png` and `{split}.{session}.timeline.png`.

    Args:
      folder: folder for the pictures.
      traces: traces of one split.
      num_timelines: largest number of sessions that are drawn; 0 draws nothing at all.
      mark: mark for the titles, e.g. `"simulated"`; empty for none.
      only_missing: whether pictures that exist already stay as they are.
    """
    if not traces or num_timelines < 1:
        return
    sessions: dict[str, list[Trace]] = {}
    for trace in traces:
        sessions.setdefault(trace.session, []).append(trace)
    split = traces[0].split
    stem = Path(folder) / split_file_name(split)
    order = sorted(sessions)
    labelled = [trace for trace in traces if trace.is_labelled]
    if labelled:
        title, path = f"{split} · all sessions", f"{stem}.scatter.png"
        if not (only_missing and Path(path).is_file()):
            try_to_draw(
                path, lambda: draw_pooled(path, labelled, title=title, mark=mark)
            )
        scores = score_by(labelled, "session")
        order = sorted(order, key=lambda s: _score_or(scores.get(f"{split}/{s}"), -2.0))
    places = np.linspace(0, len(order) - 1, min(num_timelines, len(order)))
    for session in [order[place] for place in places.round().astype(int)]:
        path = f"{stem}.{short_name(session)}.timeline.png"
        if not (only_missing and Path(path).is_file()):
            _draw_session(path, sessions[session], mark)


def _draw_session(path: str, traces: Sequence[Trace], mark: str) -> None:
    try_to_draw(path, lambda: draw_timeline(path, traces, mark=mark))


def try_to_draw(path: str | os.PathLike, draw: Callable[[], None]) -> None:
    """Draws a picture; if that fails, the log gets a line about it.

    Args:
      path: path of the picture, for the log.
      draw: function that draws and writes the picture.
    """
    try:
        draw()
    except Exception as error:  # the drawing library may raise any error
        _log.warning("%s: no picture (%s: %s).", path, type(error).__name__, error)


def _range_of(traces: Sequence[Trace]) -> tuple[float, float]:
    """Returns the lowest and the highest value that annotations of traces can have."""
    lows, highs = zip(*(trace.label_range for trace in traces), strict=True)
    return min(lows), max(highs)


def _score_or(scores: Agreement | None, absent: float) -> float:
    return absent if scores is None else scores.value


def _draw_person(
    axes: Axes, trace: Trace, partners: Sequence[Trace], colours: Mapping[str, str]
) -> None:
    for partner in partners:
        axes.plot(*_curve(partner, partner.prediction), color=colours[partner.role],
                  lw=0.8, alpha=0.6, label=f"partner {partner.role}",
                  zorder=1)  # fmt: skip
    axes.plot(*_curve(trace, trace.prediction), color=PREDICTION, lw=1.4,
              label="prediction", zorder=2)  # fmt: skip
    if trace.is_labelled:
        # The annotation is on top, because a noisy prediction would hide it.
        axes.plot(*_curve(trace, trace.label), color=ANNOTATION, lw=1.4,
                  label="annotation", zorder=3)  # fmt: skip
    axes.set_title(trace.role, loc="left", fontweight="bold", pad=4)
    axes.set_title(_note(trace), loc="right", fontsize=10, color=QUIET, pad=4)
    axes.set_ylabel("engagement")
    seconds = max(len(trace.label), 1) / trace.label_rate
    axes.set_xlim(0.0, seconds / 60)
    values = [p.prediction for p in (trace, *partners)]
    finite = np.concatenate([v[np.isfinite(v)] for v in values] or [np.zeros(1)])
    least, most = trace.label_range
    margin = 0.02 * (most - least)
    axes.set_ylim(min(least - margin, finite.min()), max(most + margin, finite.max()))
    tidy(axes)
    if trace.classes:
        name_ticks(axes.yaxis, trace.classes)


def _note(trace: Trace) -> str:
    """Says how well a prediction agrees with its annotation."""
    if not trace.is_labelled:
        return "no annotation"
    if trace.classes:
        classes = score_classes([trace])
        return f"kappa {classes.kappa:.2f}   accuracy {classes.accuracy:.2f}"
    numbers = score_numbers([trace])
    return f"CCC {numbers.ccc:.2f}   MAE {numbers.mae:.2f}"


def _curve(trace: Trace, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.arange(len(values)) / trace.label_rate / 60, values
