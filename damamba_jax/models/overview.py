"""A model at a glance: where its parameters are."""

import jax
from rich.table import Table


def parameter_counts(params) -> dict[str, int]:
    """Counts parameters per stage, `encoders/clip` and the like."""
    counts: dict[str, int] = {}
    for path, leaf in jax.tree_util.tree_flatten_with_path(params)[0]:
        names = [str(getattr(entry, "key", entry)) for entry in path]
        nested = names[0] in ("encoders", "stacks", "target", "partner")
        stage = "/".join(names[: 2 if nested else 1])
        counts[stage] = counts.get(stage, 0) + leaf.size
    return counts


def parameter_table(params, title: str) -> Table:
    """Lists the stages with their parameters and shares."""
    counts = parameter_counts(params)
    total = sum(counts.values())
    table = Table(title=title)
    table.add_column("stage")
    table.add_column("parameters", justify="right")
    table.add_column("share", justify="right")
    for stage, count in counts.items():
        table.add_row(stage, f"{count:,}", f"{100 * count / total:.1f} %")
    table.add_section()
    table.add_row("all", f"{total:,}", f"{total / 1e6:.2f} M")
    return table
