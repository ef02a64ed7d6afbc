"""Effects of settings on the score, with the same seeds on the simulated corpus.

Every effect is a change of `configs/noxi.py:demo`, and is trained with every seed.
Smoothing, and the ensemble of all seeds, use the default's predictions and train
nothing. The ensemble is one model, so it is compared with the mean of its members over
sessions only.

The whole table has 9 x 5 runs of the demo, which take minutes on a GPU with `--jobs`.
With `--preset=small` the model reads only one feature of each group, because the other
features repeat its cues. A run then costs a third as much, and dropping a feature drops
its group.
"""

import functools
from collections.abc import Callable, Sequence

from damamba_jax.config.smoothing import parse_smoothing
from damamba_jax.config.tree import from_config_dict, override
from damamba_jax.configs import noxi
from damamba_jax.inference.ensemble import average_traces
from damamba_jax.inference.smoothing import smooth_traces
from damamba_jax.reporting.table import Table
from damamba_jax.studies import engine, report
from damamba_jax.studies.engine import Findings, Predictions, Row, RowScores, Study

# Changed fields of all runs, by preset.
PRESETS: dict[str, dict[str, object]] = {
    "demo": {},
    "small": {"data.features": "w2vbert2,clip", "model.state_dim": 4},
}
DEFAULT = "default"
# Changed fields by the key of the row.
EFFECTS: dict[str, dict[str, object]] = {
    DEFAULT: {},
    "forward": {"model.direction": "forward"},
    "mamba2": {"model.ssm": "mamba2"},
    "modality-dropout": {"model.modality_dropout": 0.15},
    "feature-dropout": {"model.feature_dropout": 0.1},
    "session-statistics": {"data.normalization": "session"},
    "ccc-window": {"optim.loss": "ccc-window"},
    "center-weights": {"optim.center_sigma": 0.3},
    "context-frames": {"optim.context_weight": 0.3},
}
# Smoothings of the default's predictions. The times are examples and were not tuned.
SMOOTHINGS = {
    "exponential-0.5s": "exponential:0.5",
    "gaussian-0.5s": "gaussian:0.5",
    "gaussian-2s": "gaussian:2",
}
# The mean of the default's predictions over all seeds.
ENSEMBLE = "ensemble"
ROWS = (*EFFECTS, *SMOOTHINGS, ENSEMBLE)
# Rows whose model knows more than the window that the oracle sees.
BEYOND_WINDOW = ("session-statistics", *SMOOTHINGS)
# A split of the training domain, and a split of another domain.
SPLITS = ("noxi/test-base", "noxi/test-additional")


def describe(
    preset: str, keys: Sequence[str] = (), seeds: Sequence[int] = (0, 1, 2, 3, 4)
) -> Study:
    """Describes the study of a preset.

    Args:
      preset: one of `PRESETS`.
      keys: keys of the rows; empty means all.
      seeds: seeds of every row; with one seed there is no ensemble.

    Raises:
      ConfigError: for an unknown row.
    """
    fields = noxi.get_config("demo")
    fields.update_from_flattened_dict(PRESETS[preset])
    fields.name = f"effects-{preset}"
    base = from_config_dict(fields)
    rows = []
    for key in engine.choose_rows(keys, ROWS, always=[DEFAULT]):
        changes, derive = EFFECTS.get(key, {}), _derive(key)
        row = Row(
            key=key,
            title=key,
            config=override(base, {"name": f"{base.name}-{key}", **changes}),
            reference="" if key == DEFAULT else DEFAULT,
            source=DEFAULT if derive else "",
            derive=derive,
        )
        # An ensemble of one seed would be the default itself.
        if key != ENSEMBLE or len(seeds) > 1:
            rows.append(row)
    return Study(
        name="effects",
        base=base,
        rows=tuple(rows),
        seeds=tuple(seeds),
        folders="runs/{key}-{seed}",
        tables=tables,
        splits=SPLITS,
    )


def _derive(key: str) -> Callable[[Predictions], Predictions] | None:
    if key in SMOOTHINGS:
        return functools.partial(_smooth, SMOOTHINGS[key])
    return _average if key == ENSEMBLE else None


def _smooth(text: str, predictions: Predictions) -> Predictions:
    return [smooth_traces(traces, parse_smoothing(text)) for traces in predictions]


def _average(predictions: Predictions) -> Predictions:
    return [average_traces(predictions)]


def tables(found: Findings) -> list[Table]:
    """Makes the table, which has one row for each effect."""
    table = report.wide_table(
        found,
        f"Effects of settings, {found.study.base.name}",
        before={"effect": lambda row: row.row.title},
        by_split={
            "": report.ccc,
            "to default": report.to_reference,
            "of the oracle": _share,
        },
        after={},
        notes=[
            f"CCCs are mean ± standard deviation over the seeds "
            f"{', '.join(map(str, found.study.seeds))}. `to default` is the difference "
            "± its standard error, paired over seeds and sessions. For the ensemble, "
            "it is the difference to the mean of its members, over sessions only.",
            "`of the oracle` is the share of the CCC of the oracle that sees the "
            "model's window; for a forward model, this is the causal oracle, and in "
            "the shifted domain the transfer oracle. * marks models that know more "
            "than this window, for which the oracle is no limit.",
        ],
    )
    return [table]


def _share(row: RowScores, split: str) -> str:
    return report.share(row, split, digits=1) + "*" * (row.row.key in BEYOND_WINDOW)
