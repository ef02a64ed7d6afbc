"""Makes the oracle's table of a simulated corpus, and the gaps that it predicts.

For each split and each span (one window, or whole recordings) the table has the
oracle's `r` if it sees everything, one modality group, no partners, or no future. It
also has simple estimators that a trained model should beat. `per-frame linear` is a
regression of the annotation on the cues of one frame. `late fusion` is a linear mix of
the best estimates from the audio and from the visual group, as if the model did not
fuse the groups. With `target only` the partners are not seen either.
"""

import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from damamba_jax.config.window import WindowConfig
from damamba_jax.data.oracle import score as oracle_score
from damamba_jax.data.oracle import views as oracle_views
from damamba_jax.data.oracle.views import Cues, View
from damamba_jax.data.simulated.dialogue import FRAME_HZ
from damamba_jax.data.simulated.write import ORACLE_FOLDER
from damamba_jax.files import write_json, write_text

VIEWS = {
    "both": View(),
    "audio": View(("audio",)),
    "visual": View(("visual",)),
    "both, target only": View(partners=False),
    "audio, target only": View(("audio",), partners=False),
    "visual, target only": View(("visual",), partners=False),
    "both, causal": View(causal=True),
}
_LEGEND = (
    "The numbers are the correlation r of the best estimate with the annotation. This\n"
    "is the highest CCC that an estimator can expect if it sees no more. Splits\n"
    "marked (transfer) come from another domain and are estimated with the parameters\n"
    "of the training domain. There, other estimators can do better."
)
LINEAR = "per-frame linear"
LATE, LATE_ALONE = "late fusion", "late fusion, target only"
# The views that the gaps of an ablation are computed from.
_GAP_VIEWS = tuple(name for name in VIEWS if name != "both, causal")

# The window of the paper, 96 frames at 100 Hz, and as many frames at the native rate.
WINDOWS = tuple(
    WindowConfig(
        frame_hz=hz, past_frames=32, core_frames=32, future_frames=32, stride_frames=32
    )
    for hz in (100.0, FRAME_HZ)
)


class PredictedGaps(NamedTuple):
    """The losses of `r` when the oracle sees less.

    Attributes:
      best: `r` of the oracle that sees everything.
      partner: loss without the partners.
      modality: loss of the best linear mix of the two groups' estimates.
      joint: loss of the same mix without the partners.
      num_frames: number of scored frames.
    """

    best: float
    partner: float
    modality: float
    joint: float
    num_frames: int


def predict_gaps(
    root: str | os.PathLike, split: str, *, window: WindowConfig
) -> PredictedGaps:
    """Predicts what an ablation loses on the annotated frames of one split.

    Args:
      root: folder of a simulated corpus with a training split.
      split: name of the split, such as `"noxi/test-base"`.
      window: the window that the model sees.

    Raises:
      ValueError: if `root` is not such a corpus, or for an unknown split.
    """
    train = oracle_score.training_cues(root)
    if not train:
        raise ValueError(
            f"`root`: expected a corpus with a training split, since the linear mix is "
            f"fitted on it, got {str(root)!r}, which has none."
        )
    parts = {split: oracle_views.load_cues(root, split)}
    views = {name: VIEWS[name] for name in _GAP_VIEWS}
    (found,) = _build_span(root, train, parts, window, views)["splits"]
    return PredictedGaps(
        best=found["scores"]["both"]["r"],
        partner=found["partner_gap"],
        modality=found["modality_gap"],
        joint=found["joint_gap"],
        num_frames=found["num_frames"],
    )


def build_table(
    root: str | os.PathLike,
    *,
    splits: Sequence[str] | None = None,
    windows: Sequence[WindowConfig] = WINDOWS,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Scores every view of every split.

    Args:
      root: folder of a simulated corpus.
      splits: names of the splits. By default these are all splits except for training
        splits, or all splits if there are no others.
      windows: windows that are scored in addition to whole recordings.
      progress: called with the number of spans that are done and of all spans.

    Returns:
      A tree of plain values: `{"spans": [{"name", "window_seconds", "splits": [{"name",
      "transfer", "num_frames", "scores": {view: {"r", "ccc", "bare_ccc"}},
      "partner_gap", "modality_gap", "joint_gap"}]}]}`. A value that does not apply is
      `None`.

    Raises:
      ValueError: if `root` is not a simulated corpus, or for an unknown split.
    """
    known = oracle_views.list_splits(root)
    chosen = splits or [s for s in known if not s.endswith("/train")] or known
    spans = [*windows, None]
    train = oracle_score.training_cues(root)
    parts = {split: oracle_views.load_cues(root, split) for split in chosen}
    table = []
    for done, window in enumerate(spans):
        if progress is not None:
            progress(done, len(spans))
        table.append(_build_span(root, train, parts, window, VIEWS))
    if progress is not None:
        progress(len(spans), len(spans))
    return {"spans": table}


def write_table(root: str | os.PathLike, table: Mapping[str, Any]) -> None:
    """Stores a table, as JSON and as Markdown, beside the cues that the oracle sees."""
    folder = Path(root) / ORACLE_FOLDER
    write_json(folder / "table.json", table)
    write_text(folder / "table.md", to_markdown(table))


def to_markdown(table: Mapping[str, Any]) -> str:
    """Renders the `r` of a table as Markdown: a part per span, and a row per view."""
    lines = ["# Oracle of the simulated corpus", "", _LEGEND]
    for span in table["spans"]:
        head, *rows = _cells(span)
        lines += ["", f"## {span['name']}", "", f"| {' | '.join(head)} |"]
        lines += ["|---|" + "---:|" * (len(head) - 1)]
        lines += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join(lines) + "\n"


def to_text(table: Mapping[str, Any]) -> str:
    """Renders the `r` of a table for a terminal."""
    lines = [_LEGEND]
    for span in table["spans"]:
        rows = _cells(span)
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        lines += ["", span["name"]]
        for first, *others in rows:
            cells = [
                cell.rjust(width)
                for cell, width in zip(others, widths[1:], strict=True)
            ]
            lines.append("  ".join(["", first.ljust(widths[0]), *cells]))
    return "\n".join(lines) + "\n"


def _cells(span: Mapping[str, Any]) -> list[list[str]]:
    """Makes rows of cells, one per view; the first row names the splits."""
    splits = span["splits"]
    marks = [" (transfer)" if split["transfer"] else "" for split in splits]
    rows = [
        ["seen", *(s["name"] + mark for s, mark in zip(splits, marks, strict=True))]
    ]
    for name in [*VIEWS, LATE, LATE_ALONE, LINEAR]:
        if name in splits[0]["scores"]:
            rows.append([name, *(f"{s['scores'][name]['r']:.3f}" for s in splits)])
    for gap in ("partner_gap", "modality_gap", "joint_gap"):
        if splits[0][gap] is not None:
            rows.append([gap.replace("_", " "), *(f"{s[gap]:.3f}" for s in splits)])
    rows.append(["frames", *(str(split["num_frames"]) for split in splits)])
    return rows


def _build_span(
    root: str | os.PathLike,
    train: list[Cues],
    parts: Mapping[str, list[Cues]],
    window: WindowConfig | None,
    views: Mapping[str, View],
) -> dict[str, Any]:
    """Scores all splits together, so that they share the smoother's passes."""
    together = [*train, *(cues for part in parts.values() for cues in part)]
    estimates = dict(
        zip(
            views,
            oracle_views.estimates(together, list(views.values()), window=window),
            strict=True,
        )
    )
    if train:
        inputs = [_frame_inputs(cues) for cues in together]
        estimates[LINEAR] = _regress(train, inputs)
        for name, alone in ((LATE, ""), (LATE_ALONE, ", target only")):
            groups = (estimates[group + alone] for group in ("audio", "visual"))
            pairs = [np.stack(pair, axis=2) for pair in zip(*groups, strict=True)]
            estimates[name] = _regress(train, pairs)
    splits, first = [], len(train)
    for split, recordings in parts.items():
        here = slice(first, first + len(recordings))
        first = here.stop
        scores = {
            name: _score(recordings, values[here], train, values[: len(train)])
            for name, values in estimates.items()
        }
        r = {name: found.r for name, found in scores.items()}
        splits.append(
            {
                "name": split,
                "transfer": oracle_views.is_shifted(root, split),
                "num_frames": len(oracle_score.pooled_labels(recordings)),
                "scores": {name: _numbers(found) for name, found in scores.items()},
                "partner_gap": r["both"] - r["both, target only"],
                "modality_gap": r["both"] - r[LATE] if LATE in r else None,
                "joint_gap": r["both"] - r[LATE_ALONE] if LATE_ALONE in r else None,
            }
        )
    if window is None:
        return {"name": "whole recording", "window_seconds": None, "splits": splits}
    seconds = window.window_seconds
    name = (
        f"one window of {window.window_frames} frames at {window.frame_hz:g} Hz "
        f"({seconds:.2f} s)"
    )
    return {"name": name, "window_seconds": seconds, "splits": splits}


def _score(
    recordings: list[Cues],
    values: list[np.ndarray],
    train: list[Cues],
    train_values: list[np.ndarray],
) -> oracle_score.OracleScore:
    scale = None
    if train:
        scale = oracle_score.fit_scale(
            oracle_score.pooled(train, train_values), oracle_score.pooled_labels(train)
        )
    return oracle_score.score(
        oracle_score.pooled(recordings, values),
        oracle_score.pooled_labels(recordings),
        scale,
    )


def _numbers(found: oracle_score.OracleScore) -> dict[str, float | None]:
    ccc = None if math.isnan(found.ccc) else found.ccc
    return {"r": found.r, "ccc": ccc, "bare_ccc": found.bare_ccc}


def _frame_inputs(cues: Cues) -> np.ndarray:
    """Returns each target's cues and the mean of its partners' cues, `[P, T, 6]`."""
    values = np.where(cues.observed, cues.cues, 0.0).transpose(0, 2, 1)
    return np.concatenate([values, _partners_mean(values)], axis=2)


def _partners_mean(values: np.ndarray) -> np.ndarray:
    return (values.sum(axis=0) - values) / (len(values) - 1)


def _regress(train: list[Cues], inputs: list[np.ndarray]) -> list[np.ndarray]:
    """Fits a linear map on the training recordings, and estimates `[P, T]` for all."""
    label = oracle_score.pooled_labels(train)
    x = np.concatenate(
        [
            value[np.isfinite(cues.label)]
            for cues, value in zip(train, inputs, strict=False)
        ]
    )
    x = np.concatenate([x, np.ones((len(x), 1))], axis=1)
    weights = np.linalg.lstsq(x, label, rcond=None)[0]
    return [value @ weights[:-1] + weights[-1] for value in inputs]
