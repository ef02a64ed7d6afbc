"""What the cells of an ablation scored, and the gaps between its rows."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from damamba_jax.config.sections import Config
from damamba_jax.data.corpus.sessions import CorpusIndex
from damamba_jax.data.oracle import table as oracle_table
from damamba_jax.data.oracle import views as oracle_views
from damamba_jax.data.oracle.table import PredictedGaps
from damamba_jax.evaluation import scoring
from damamba_jax.evaluation.published import ABLATION
from damamba_jax.evaluation.results import COLUMNS, OracleReference
from damamba_jax.metrics.paired_gap import PairedGap, measure_gap
from damamba_jax.runs.traces import read_traces
from damamba_jax.studies.ablation import ROWS, Cell, Row, count_parameters

# A gap that is further from the predicted one contradicts it.
MOST_ERRORS = 3.0
_FULL = ROWS[0]


@dataclasses.dataclass(frozen=True, kw_only=True)
class RowScores:
    """One row, all its seeds.

    Args:
      row: which one.
      num_parameters: of the model.
      seeds: that are finished.
      ccc: per labelled split, the CCC of each seed.
      interval: per split, the ends of the 95 % interval over sessions,
        averaged over seeds; splits of one session have none.
    """

    row: Row
    num_parameters: int
    seeds: tuple[int, ...]
    ccc: Mapping[str, tuple[float, ...]]
    interval: Mapping[str, tuple[float, float]]

    @property
    def overall(self) -> tuple[float, ...]:
        """Mean of the three test sets for each seed; empty unless all of them exist."""
        if not set(COLUMNS.values()) <= set(self.ccc):
            return ()
        tests = [self.ccc[split] for split in COLUMNS.values()]
        return tuple(map(fmean, zip(*tests, strict=True)))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Gap:
    """What one row loses against the full model on one split.

    Args:
      row, split: which ones.
      measured: with its standard error, paired over seeds and sessions.
      predicted: by the oracle on the very same frames; `None` where it cannot say.
      published: on the recorded test set, if it is one.
    """

    row: Row
    split: str
    measured: PairedGap
    predicted: float | None
    published: float | None

    @property
    def errors_away(self) -> float | None:
        """Standard errors between the measured and the predicted gap."""
        error = self.measured.standard_error
        if self.predicted is None or not error:
            return None
        return abs(self.measured.mean - self.predicted) / error

    @property
    def agrees(self) -> bool | None:
        """Whether the gap lies within `MOST_ERRORS` of the predicted one."""
        away = self.errors_away
        return None if away is None else away <= MOST_ERRORS


@dataclasses.dataclass(frozen=True, kw_only=True)
class Share:
    """How much of the oracle's CCC the full model reaches on one split."""

    split: str
    oracle: OracleReference
    ccc: float

    @property
    def share(self) -> float:
        """CCC divided by the oracle's."""
        return self.ccc / self.oracle.ccc


@dataclasses.dataclass(frozen=True, kw_only=True)
class Findings:
    """All that the tables need.

    Args:
      name: of the base configuration.
      simulated: measured on a drawn corpus.
      rows: in the order of the paper, those with a finished cell.
      gaps: split by split, row by row, over the seeds that a row and the full model
        have both finished.
      shares: of the oracle; none on recordings.
    """

    name: str
    simulated: bool
    rows: tuple[RowScores, ...]
    gaps: tuple[Gap, ...]
    shares: tuple[Share, ...]

    @property
    def splits(self) -> list[str]:
        """Labelled splits, the published columns first."""
        found = dict.fromkeys(split for row in self.rows for split in row.ccc)
        tests = [split for split in COLUMNS.values() if split in found]
        return [*tests, *(split for split in found if split not in tests)]


def collect(cells: Sequence[Cell], base: Config, index: CorpusIndex) -> Findings:
    """Reads what the finished cells scored, and pairs their predictions.

    Args:
      cells: of the ablation; those that are not finished do not count.
      base: configuration of the full model.
      index: the corpus that they were scored on.

    Raises:
      ValueError: if cells were scored on different frames.
    """
    finished = [cell for cell in cells if cell.is_finished]
    scored = {cell.folder: read_scores(cell.folder) for cell in finished}
    by_row: dict[Row, list[Cell]] = {}
    for cell in finished:
        by_row.setdefault(cell.row, []).append(cell)
    rows = tuple(
        _make_row(row, members, [scored[cell.folder] for cell in members])
        for row, members in by_row.items()
    )
    found = Findings(
        name=base.name, simulated=index.simulated, rows=rows, gaps=(), shares=()
    )
    full = by_row.get(_FULL, [])
    if not full:
        return found
    predicted = {s: _predict(s, base, index) for s in found.splits}
    gaps = tuple(
        _pair(row, split, full, members, predicted[split])
        for split in found.splits
        for row, members in by_row.items()
        if row != _FULL and {c.seed for c in members} & {c.seed for c in full}
    )
    shares = tuple(
        Share(split=split, oracle=reference, ccc=fmean(rows[0].ccc[split]))
        for split in found.splits
        if (reference := _oracle(scored[full[0].folder][split])) is not None
    )
    return dataclasses.replace(found, gaps=gaps, shares=shares)


def _make_row(
    row: Row, cells: Sequence[Cell], scored: Sequence[Mapping[str, dict[str, Any]]]
) -> RowScores:
    ccc, interval = {}, {}
    for split in scored[0]:
        scores = [found[split]["scores"] for found in scored]
        ccc[split] = tuple(s["ccc"] for s in scores)
        if all(s["ccc_low"] is not None for s in scores):
            ends = (fmean(s[end] for s in scores) for end in ("ccc_low", "ccc_high"))
            interval[split] = tuple(ends)
    return RowScores(
        row=row,
        num_parameters=count_parameters(cells[0].config),
        seeds=tuple(cell.seed for cell in cells),
        ccc=ccc,
        interval=interval,
    )


def read_scores(folder: Path) -> dict[str, dict[str, Any]]:
    """Labelled splits of a finished cell, by name."""
    (result,) = json.loads((folder / "results.json").read_text())["results"]
    return {split["split"]: split for split in result["splits"] if split["scores"]}


def _oracle(split: Mapping[str, Any]) -> OracleReference | None:
    return OracleReference(**split["oracle"]) if split["oracle"] else None


def _predict(split: str, base: Config, index: CorpusIndex) -> PredictedGaps | None:
    """The oracle's gaps where it knows the domain and the model sees all it sees."""
    root = scoring.simulated_root(index)
    seen = {feature.group for feature in base.data.features}
    if root is None or seen != {"audio", "visual"} or base.data.participants < 2:
        return None
    if base.model.causal:  # sees less than its window
        return None
    if split not in oracle_views.list_splits(root) or oracle_views.is_shifted(
        root, split
    ):
        return None
    return oracle_table.predict_gaps(root, split, window=base.data.window)


def _pair(
    row: Row,
    split: str,
    full: Sequence[Cell],
    members: Sequence[Cell],
    predicted: PredictedGaps | None,
) -> Gap:
    seeds = sorted({cell.seed for cell in full} & {cell.seed for cell in members})
    one, other = (
        [read_traces(c.folder, split) for s in seeds for c in m if c.seed == s]
        for m in (full, members)
    )
    measured = measure_gap(one, other)
    expected = None
    # A session that could not be read was not scored, but the oracle saw it.
    if predicted and row.gap and predicted.num_frames == measured.num_frames:
        expected = getattr(predicted, row.gap)
    published = {column: i for i, column in enumerate(COLUMNS.values(), start=1)}
    literature = None
    if split in published:
        at = published[split]
        literature = ABLATION[_FULL.key][at] - ABLATION[row.key][at]
    return Gap(
        row=row, split=split, measured=measured, predicted=expected,
        published=literature,
    )  # fmt: skip
