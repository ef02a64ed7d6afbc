"""Numbers as text: scores, shares, spreads and differences."""

from collections.abc import Sequence
from statistics import fmean, stdev

from damamba_jax.metrics.intervals import Scores

ABSENT = "–"


def with_interval(scores: Scores) -> str:
    if scores.ccc_low is None or scores.ccc_high is None:
        return number(scores.ccc)
    return f"{scores.ccc:.3f} [{scores.ccc_low:.2f}, {scores.ccc_high:.2f}]"


def number(value: float | None) -> str:
    return ABSENT if value is None else f"{value:.3f}"


def percent(value: float | None) -> str:
    return ABSENT if value is None else f"{100 * value:.0f} %"


def spread(values: Sequence[float]) -> str:
    """Mean and standard deviation of what seeds scored; one alone has none."""
    if not values:
        return ABSENT
    deviation = f" ± {stdev(values):.3f}" if len(values) > 1 else ""
    return f"{fmean(values):.3f}{deviation}"


def difference(mean: float, standard_error: float | None) -> str:
    """A signed difference with its standard error, if that can be known."""
    error = "" if standard_error is None else f" ± {standard_error:.3f}"
    return f"{mean:+.3f}{error}"
