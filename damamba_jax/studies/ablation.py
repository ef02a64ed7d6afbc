"""The rows of the paper's ablation, and the runs that fill them.

Every row is the base configuration with other switches (DA-Mamba itself comes first).
What a row leaves out is given back as width of its dialogue encoder, so that all rows
have as many parameters as the full model. A *cell* is one row trained with one seed;
cells of one seed see the same batches in the same order.
"""

import bisect
import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from damamba_jax.config.sections import Config
from damamba_jax.config.systems import DAMambaConfig
from damamba_jax.errors import ConfigError
from damamba_jax.models.functional import abstract_model, parameter_counts
from damamba_jax.studies.runs import Run

# Rows have the full model's parameters within this share.
PARAMETER_TOLERANCE = 0.02
# The dialogue encoder is never made wider than so many times the model.
_WIDEST = 6


class Row(NamedTuple):
    """One row of the table.

    Attributes:
      key: names the row in folders and flags.
      title: as printed.
      encoder, modality_fusion, partner_fusion: the switches.
      gap: field of the oracle's `PredictedGaps` that says what is lost; `None` where no
        information is withheld and nothing can be predicted.
    """

    key: str
    title: str
    encoder: Literal["mamba", "transformer"] = "mamba"
    modality_fusion: bool = True
    partner_fusion: bool = True
    gap: Literal["partner", "modality", "joint"] | None = None


ROWS = (
    Row("full", "DA-Mamba"),
    Row(
        "no-modality-fusion", "Mamba, partner fusion only",
        modality_fusion=False, gap="modality",
    ),
    Row(
        "no-partner-fusion", "Mamba, modality fusion only",
        partner_fusion=False, gap="partner",
    ),
    Row(
        "no-fusion", "Mamba, no fusion",
        modality_fusion=False, partner_fusion=False, gap="joint",
    ),
    Row("transformer", "Transformer encoder", encoder="transformer"),
)  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cell(Run):
    """The run of one row with one seed."""

    row: Row
    seed: int


def choose_rows(keys: Sequence[str]) -> tuple[Row, ...]:
    """Looks rows up by their keys; none means all. The full model is always there.

    Raises:
      ConfigError: for an unknown key.
    """
    known = [row.key for row in ROWS]
    unknown = [key for key in keys if key not in known]
    if unknown:
        raise ConfigError(
            f"`--rows`: expected some of {', '.join(known)}, got {unknown[0]!r}."
        )
    return tuple(row for row in ROWS if not keys or row.key in ("full", *keys))


def make_cells(
    base: Config, rows: Sequence[Row], *, num_seeds: int, folder: Path
) -> list[Cell]:
    """Lists the runs, those of one row together: they share what is compiled.

    Args:
      base: configuration of the full model; its seed is the first one.
      rows: of the table.
      num_seeds: per row.
      folder: of the ablation; each cell has a workdir in it.

    Raises:
      ConfigError: if a row cannot have as many parameters as the full model.
    """
    target = count_parameters(configure(base, ROWS[0]))
    cells = []
    for row in rows:
        config = configure(base, row)
        if row.key != "full":
            config = match_parameters(config, target)
        for seed in range(base.seed, base.seed + num_seeds):
            cells.append(
                Cell(
                    title=f"{row.key}, seed {seed}",
                    row=row,
                    seed=seed,
                    config=dataclasses.replace(
                        config, name=f"{base.name}-{row.key}", seed=seed
                    ),
                    folder=folder / f"{row.key}-seed{seed}",
                )
            )
    return cells


def configure(base: Config, row: Row) -> Config:
    """Sets the switches of one row.

    Raises:
      ConfigError: if the base is another system, which has no such switches.
    """
    if not isinstance(base.model, DAMambaConfig):
        raise ConfigError(
            f"`model.system`: expected 'damamba', whose parts the ablation leaves out, "
            f"got {base.model.system!r}."
        )
    model = dataclasses.replace(
        base.model,
        encoder=row.encoder,
        modality_fusion=row.modality_fusion,
        partner_fusion=row.partner_fusion,
    )
    return dataclasses.replace(base, model=model)


@functools.cache
def count_parameters(config: Config) -> int:
    """Counts parameters from shapes alone."""
    return sum(parameter_counts(abstract_model(config.model, config.data)[1]).values())


def match_parameters(config: Config, target: int) -> Config:
    """Widens the dialogue encoder until there are about `target` parameters.

    Of all widths from `model.dim` on that its heads divide, the one whose count is
    nearest; counts grow with the width, so bisection finds it.

    Raises:
      ConfigError: if none comes within `PARAMETER_TOLERANCE`.
    """

    def widened(width: int) -> Config:
        return dataclasses.replace(
            config, model=dataclasses.replace(config.model, dialogue_dim=width)
        )

    def count(width: int) -> int:
        return count_parameters(widened(width))

    dim = config.model.dim
    widths = [w for w in range(dim, _WIDEST * dim + 1) if _is_width(config.model, w)]
    first = bisect.bisect_left(widths, target, key=count)
    near = widths[max(first - 1, 0) : first + 1]
    best = min(near, key=lambda width: abs(count(width) - target))
    off = count(best) / target - 1
    if abs(off) > PARAMETER_TOLERANCE:
        raise ConfigError(
            f"`model.dialogue_dim`: expected a width in [{dim}, {_WIDEST * dim}] with "
            f"which encoder={config.model.encoder!r}, modality_fusion="
            f"{config.model.modality_fusion}, partner_fusion="
            f"{config.model.partner_fusion} has the full model's {target:,} parameters "
            f"within {PARAMETER_TOLERANCE:.0%}; the nearest, {best}, is {off:+.1%} "
            f"off. Add a block: `model.dialogue_blocks`."
        )
    return widened(best)


def _is_width(model: DAMambaConfig, width: int) -> bool:
    try:
        dataclasses.replace(model, dialogue_dim=width)
    except ConfigError:
        return False
    return True
