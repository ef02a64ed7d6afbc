"""Ablation of DA-Mamba: the rows of the paper's table, all of one size.

Every row is the base configuration with some parts switched off; the first row is
DA-Mamba itself. A row that leaves out a part gets a wider dialogue encoder, so that all
rows have as many parameters as the full model. On the simulated corpus, the table shows
the measured worth of each part and the worth that the oracle predicts.
"""

import bisect
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from damamba_jax.config.sections import Config
from damamba_jax.config.systems import DAMambaConfig
from damamba_jax.config.tree import from_config_dict, override
from damamba_jax.configs import ablation as configs
from damamba_jax.data.corpus.sessions import CorpusIndex
from damamba_jax.data.oracle import table as oracle_table
from damamba_jax.data.oracle import views as oracle_views
from damamba_jax.errors import ConfigError
from damamba_jax.evaluation import scoring
from damamba_jax.evaluation.published import ABLATION, SOURCES
from damamba_jax.evaluation.results import COLUMNS, TITLES
from damamba_jax.metrics.paired_gap import PairedGap
from damamba_jax.reporting.numbers import ABSENT, number, spread
from damamba_jax.reporting.table import Table
from damamba_jax.studies import engine, report
from damamba_jax.studies.engine import Findings, Row, RowScores, Study

FULL = "full"
NO_MODALITY_FUSION = {"model.modality_fusion": False}
NO_PARTNER_FUSION = {"model.partner_fusion": False}
# Title and changed fields of each row, by its key.
ROWS: dict[str, tuple[str, Mapping[str, Any]]] = {
    FULL: ("DA-Mamba", {}),
    "no-modality-fusion": ("Mamba, partner fusion only", NO_MODALITY_FUSION),
    "no-partner-fusion": ("Mamba, modality fusion only", NO_PARTNER_FUSION),
    "no-fusion": ("Mamba, no fusion", NO_MODALITY_FUSION | NO_PARTNER_FUSION),
    "transformer": ("Transformer encoder", {"model.encoder": "transformer"}),
}
# For each row, the field of the oracle's `PredictedGaps` that predicts its loss. The
# Transformer sees all information, so nothing can be predicted for its row.
_PREDICTED = {
    "no-modality-fusion": "modality",
    "no-partner-fusion": "partner",
    "no-fusion": "joint",
}
# A measured gap contradicts the predicted one if it is more than this number of
# standard errors away from it.
MOST_ERRORS = 3.0
# The parameters of a row differ from those of the full model by at most this share.
PARAMETER_TOLERANCE = 0.02
# The dialogue encoder is at most this many times as wide as the model.
_WIDEST = 6


def describe(
    preset: str | Config, keys: Sequence[str] = (), seeds: Sequence[int] = ()
) -> Study:
    """Describes the ablation.

    Args:
      preset: preset of `configs/ablation.py`, or the configuration of a full model.
      keys: keys of the rows; empty means all.
      seeds: seeds of every row; empty means three, from the configuration's seed on.

    Raises:
      ConfigError: for an unknown row, or for a row that cannot have the full model's
        size.
    """
    if isinstance(preset, str):
        preset = from_config_dict(configs.get_config(preset))
    _parts(preset)
    base = override(
        preset,
        {
            "model.encoder": "mamba",
            "model.modality_fusion": True,
            "model.partner_fusion": True,
        },
    )
    target, rows = engine.count_parameters(base), []
    for key in engine.choose_rows(keys, ROWS, always=[FULL]):
        title, changes = ROWS[key]
        config = override(base, {"name": f"{base.name}-{key}", **changes})
        if key != FULL:
            config = match_parameters(config, target)
        reference = "" if key == FULL else FULL
        rows.append(Row(key=key, title=title, config=config, reference=reference))
    return Study(
        name="ablation",
        base=base,
        rows=tuple(rows),
        seeds=tuple(seeds or range(base.seed, base.seed + 3)),
        folders="{key}-seed{seed}",
        tables=tables,
        predict=predict,
    )


def _parts(config: Config) -> DAMambaConfig:
    """Returns the settings of the model whose parts the rows leave out."""
    if isinstance(config.model, DAMambaConfig):
        return config.model
    raise ConfigError(
        f"`model.system`: expected 'damamba', whose parts the ablation leaves out, "
        f"got {config.model.system!r}."
    )


def match_parameters(config: Config, target: int) -> Config:
    """Widens the dialogue encoder until there are about `target` parameters.

    The width is at least `model.dim`, and the heads divide it. Among these widths, the
    one with the nearest number of parameters is taken. This number grows with the
    width, so bisection finds it.

    Args:
      config: configuration of a row.
      target: number of parameters that the row shall have.

    Raises:
      ConfigError: if no width comes within `PARAMETER_TOLERANCE`.
    """

    def widened(width: int) -> Config:
        return override(config, {"model.dialogue_dim": width})

    def count(width: int) -> int:
        return engine.count_parameters(widened(width))

    def is_allowed(width: int) -> bool:
        try:
            widened(width)
        except ConfigError:
            return False
        return True

    dim = _parts(config).dim
    widths = list(filter(is_allowed, range(dim, _WIDEST * dim + 1)))
    first = bisect.bisect_left(widths, target, key=count)
    near = widths[max(first - 1, 0) : first + 1]
    best = min(near, key=lambda width: abs(count(width) - target))
    off = count(best) / target - 1
    if abs(off) > PARAMETER_TOLERANCE:
        raise ConfigError(
            f"`model.dialogue_dim`: expected a width in [{dim}, {_WIDEST * dim}] with "
            f"which {config.name} has the full model's {target:,} parameters within "
            f"{PARAMETER_TOLERANCE:.0%}; the nearest, {best}, is {off:+.1%} off. Add a "
            f"block: `model.dialogue_blocks`."
        )
    return widened(best)


def predict(
    row: Row, split: str, measured: PairedGap, base: Config, index: CorpusIndex
) -> float | None:
    """Predicts how much CCC a row loses on a split, from the oracle's scores.

    There is a prediction only if the oracle knows the domain, if the model sees
    everything that the oracle sees, and if both were scored on the same frames. A
    session that could not be read was not scored by the model.

    Args:
      row: the row.
      split: name of the split.
      measured: the gap that was measured, with its number of frames.
      base: configuration of the full model.
      index: the corpus.
    """
    root = scoring.simulated_root(index)
    if root is None or row.key not in _PREDICTED:
        return None
    sees_all = (
        {feature.group for feature in base.data.features} == {"audio", "visual"}
        and base.data.participants >= 2
        and not base.model.causal
    )
    if not sees_all or split not in oracle_views.list_splits(root):
        return None
    if oracle_views.is_shifted(root, split):
        return None
    found = oracle_table.predict_gaps(root, split, window=base.data.window)
    same = found.num_frames == measured.num_frames
    return getattr(found, _PREDICTED[row.key]) if same else None


def tables(found: Findings) -> list[Table]:
    """Makes the tables that there are numbers for; the paper's table is the first."""
    made = [_score_table(found), _gap_table(found), _share_table(found)]
    return [table for table in made if table.rows]


def _score_table(found: Findings) -> Table:
    notes = [
        "Cells show the CCC over all frames of a set together: mean ± standard "
        "deviation over seeds, and in brackets the 95 % interval over sessions, "
        "averaged over seeds. Global is the mean of the three test sets and needs all "
        "of them.",
        f"Published: {' / '.join(COLUMNS)} / Global, {SOURCES[2]}.",
    ]
    if found.mark:
        notes.append(
            "Our scores were measured on a simulated corpus, and the published scores "
            "on recordings, so only the order of the rows can be compared. MPIIGI and "
            "NoXi-Add are domains that no row was trained on."
        )
    return report.wide_table(
        found,
        f"Ablation, {found.study.base.name}",
        before={
            "row": lambda row: row.row.title,
            "parameters": report.parameters,
        },
        by_split={"": _with_interval},
        after={
            "Global": lambda row: spread(overall(row)),
            "seeds": lambda row: str(len(found.study.seeds)),
            "published": lambda row: " / ".join(
                f"{value:.2f}" for value in _published_scores(row.row.key)
            ),
        },
        notes=notes,
    )


def _gap_table(found: Findings) -> Table:
    return report.long_table(
        found,
        [row for row in found.rows if row.gap],
        "What each part is worth",
        columns={
            "row": lambda row, s: row.row.title,
            "CCC lost": lambda row, s: _signed(row.gap[s].mean),
            "standard error": lambda row, s: number(row.gap[s].standard_error),
            "predicted": lambda row, s: _signed(row.predicted[s]),
            "errors away": lambda row, s: _away(row, s, "{:.1f}"),
            f"within {MOST_ERRORS:g}": lambda row, s: _away(row, s, "yes", "NO"),
            "published": _published,
        },
        notes=[
            "`CCC lost` is the difference to the full model on the same frames; "
            "standard errors are paired over seeds and sessions (paired_gap.py). "
            "`predicted` is the loss of the oracle on these frames if it does not see "
            "the partners, or if it can only mix the groups' estimates linearly. For a "
            "Transformer, and outside the training domain, there is no prediction."
        ],
    )


def _share_table(found: Findings) -> Table:
    full = found.rows[0]
    return report.long_table(
        found,
        [full] if full.oracle else [],
        "Share of the oracle that the full model reaches",
        columns={
            "oracle": lambda row, s: row.oracle[s].name,
            "oracle CCC": lambda row, s: number(row.oracle[s].ccc),
            "CCC": lambda row, s: number(fmean(row.ccc[s])),
            "share": report.share,
        },
        notes=[
            "The oracle is scored on the same frames as the model. A transfer oracle "
            "knows only the parameters of the training domain, so it is a reference "
            "and no limit."
        ],
    )


def overall(row: RowScores) -> tuple[float, ...]:
    """Averages the three test sets for each seed; empty if one of them is absent."""
    if not set(TITLES) <= set(row.ccc):
        return ()
    return tuple(map(fmean, zip(*(row.ccc[split] for split in TITLES), strict=True)))


def _with_interval(row: RowScores, split: str) -> str:
    interval = report.interval(row, split, digits=2)
    return f"{report.ccc(row, split)} {interval}".rstrip()


def _signed(value: float | None, *, digits: int = 3) -> str:
    return ABSENT if value is None else f"{value:+.{digits}f}"


def _away(row: RowScores, split: str, near: str, far: str = "") -> str:
    """Writes a text about the distance between the measured and the predicted gap.

    The distance is in standard errors, which `{}` in the text stands for. `far` is
    taken for distances above `MOST_ERRORS`, and `near` for all others.
    """
    gap, predicted = row.gap[split], row.predicted[split]
    if predicted is None or not gap.standard_error:
        return ABSENT
    errors = abs(gap.mean - predicted) / gap.standard_error
    return (far if far and errors > MOST_ERRORS else near).format(errors)


def _published_scores(key: str) -> tuple[float, ...]:
    found = ABLATION[key]
    return found.base, found.add, found.mpiigi, found.overall


def _published(row: RowScores, split: str) -> str:
    if split not in TITLES:
        return ABSENT
    full, row_ = (_published_scores(key) for key in (FULL, row.row.key))
    column = list(TITLES).index(split)
    return _signed(full[column] - row_[column], digits=2)
