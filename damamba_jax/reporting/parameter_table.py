"""Table of a model's parameters, stage by stage."""

from typing import Any

from damamba_jax.models.functional import parameter_counts
from damamba_jax.reporting.table import Table


def parameter_table(params: Any, title: str) -> Table:
    """Lists the stages of a model with their numbers of parameters and shares.

    Args:
      params: tree of arrays, or of their shapes.
      title: title of the table.
    """
    counts = parameter_counts(params)
    total = sum(counts.values())
    rows = [
        (stage, f"{count:,}", f"{100 * count / total:.1f} %")
        for stage, count in counts.items()
    ]
    rows.append(("all", f"{total:,}", f"{total / 1e6:.2f} M"))
    return Table(
        title=title, columns=("stage", "parameters", "share"), rows=tuple(rows)
    )
