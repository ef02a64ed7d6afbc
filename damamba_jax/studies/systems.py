"""Systems side by side: DA-Mamba and DAT on the same windows.

`published` compares DA-Mamba of `configs/noxi.py` with the three sizes of DAT of
`configs/dat.py`. The corpus is that of `configs/ablation.py:converged` (windows of
3.84 s at 25 Hz, features of the demo's widths). All train 500 steps of 64 windows in
bfloat16, at each of two learning rates. `small` compares the demo with
`configs/dat.py:small`. All runs of a seed differ only in the model and its losses.

`benchmarks.systems` of the source tree measures the time and the memory of a training
step, and then runs this study; without it, these columns are empty.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from damamba_jax.config.sections import Config
from damamba_jax.config.tree import from_config_dict, override
from damamba_jax.configs import ablation, dat, noxi
from damamba_jax.evaluation.results import TITLES
from damamba_jax.reporting.numbers import ABSENT
from damamba_jax.reporting.table import Table
from damamba_jax.studies import engine, report
from damamba_jax.studies.engine import Findings, Row, RowScores, Study

# The system that the others are compared with.
OURS = "DA-Mamba"


class Comparison(NamedTuple):
    """A comparison of systems.

    Attributes:
      base: configuration with the data, the optimizer and the length of all runs.
      systems: configuration of each system; only its model and losses are used.
      rates: learning rates; every system is trained with each.
      fields: fields that are set in every system.
    """

    base: ConfigDict
    systems: dict[str, ConfigDict]
    rates: tuple[float, ...]
    fields: dict[str, Any]


class Costs(NamedTuple):
    """Time and memory of one training step, as text for the table.

    Attributes:
      milliseconds: time of a step by system.
      gigabytes: memory of a step by system.
      note: sentence that says how both were measured.
    """

    milliseconds: Mapping[str, str]
    gigabytes: Mapping[str, str]
    note: str


# The costs if nothing was measured.
_NO_COSTS = Costs({}, {}, "ms and GB: run `python -m benchmarks.systems`.")


def _published() -> Comparison:
    others = {f"DAT {size}": dat.get_config(size) for size in ("paper_table", "m", "l")}
    base = ablation.get_config("converged")
    base.name = "systems-published"
    base.train.steps = base.train.eval_every = base.train.save_every = 500
    return Comparison(
        base,
        {OURS: noxi.get_config(), **others},
        rates=(3e-4, 1e-3),
        fields={"model.compute_dtype": "bfloat16"},
    )


def _small() -> Comparison:
    base = noxi.get_config("demo")
    base.name = "systems-small"
    systems = {OURS: noxi.get_config("demo"), "DAT small": dat.get_config("small")}
    return Comparison(base, systems, rates=(base.optim.lr,), fields={})


PRESETS = {"published": _published, "small": _small}


def describe(
    preset: str, keys: Sequence[str] = (), seeds: Sequence[int] = (0, 1, 2)
) -> Study:
    """Describes the comparison of a preset.

    Args:
      preset: one of `PRESETS`.
      keys: keys of the rows; empty means all.
      seeds: seeds of every row.

    Raises:
      ConfigError: for an unknown row.
    """
    compared = PRESETS[preset]()
    base = from_config_dict(compared.base)
    systems = {name: from_config_dict(c) for name, c in compared.systems.items()}
    rows = {}
    for rate in compared.rates:
        for name, system in systems.items():
            rows[f"{_slug(name)}-{rate:g}"] = Row(
                key=f"{_slug(name)}-{rate:g}",
                title=name,
                config=_configure(base, name, system, rate, compared.fields),
                reference="" if name == OURS else f"{_slug(OURS)}-{rate:g}",
            )
    always = {row.reference for row in rows.values()}
    return Study(
        name="systems",
        base=base,
        rows=tuple(rows[key] for key in engine.choose_rows(keys, rows, always)),
        seeds=tuple(seeds),
        folders="runs/{key}-{seed}",
        tables=tables,
        splits=tuple(TITLES),
    )


def _configure(
    base: Config, name: str, system: Config, rate: float, fields: Mapping[str, Any]
) -> Config:
    """Puts the model and the losses of a system into the configuration of the runs."""
    changes = {
        "name": f"{base.name}-{_slug(name)}",
        "model": override(system, fields).model,
        "optim.infonce_weight": system.optim.infonce_weight,
        "optim.lr": rate,
    }
    return override(base, changes)


def _slug(system: str) -> str:
    return system.lower().replace(" ", "-")


def tables(found: Findings, costs: Costs = _NO_COSTS) -> list[Table]:
    """Makes the table, which has one row for each system and learning rate.

    Args:
      found: the results of the study.
      costs: time and memory of a training step.
    """
    base = found.rows[0].row.config
    table = report.wide_table(
        found,
        f"Systems side by side, {found.study.base.name}",
        before={
            "system": lambda row: row.row.title,
            "rate": lambda row: f"{row.row.config.optim.lr:g}",
        },
        by_split={
            "": report.ccc,
            f"to {OURS}": _to_ours,
            "of the oracle": report.share,
        },
        after={
            "parameters": report.parameters,
            "ms / step": lambda row: costs.milliseconds.get(row.row.title, ABSENT),
            "GB": lambda row: costs.gigabytes.get(row.row.title, ABSENT),
        },
        notes=[
            f"CCCs are mean ± standard deviation over {len(found.study.seeds)} seeds. "
            f"`to {OURS}` is the difference ± its standard error, paired over seeds "
            "and sessions; it is in bold if the system is better.",
            f"All runs train {base.train.steps:,} steps of {base.train.batch_size} "
            f"windows of {base.data.window.window_seconds:.3g} s at "
            f"{base.data.window.frame_hz:g} Hz in {base.model.compute_dtype}. `of the "
            "oracle` is the share of the CCC of the oracle that sees this window; in a "
            "domain that the oracle does not know, it is the transfer oracle.",
            costs.note,
        ],
    )
    return [table]


def _to_ours(row: RowScores, split: str) -> str:
    text = report.to_reference(row, split)
    return f"**{text}**" if row.gap and row.gap[split].mean < 0 else text
