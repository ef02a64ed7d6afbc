"""Numbers as text: scores, shares, spreads and differences."""

from collections.abc import Sequence
from statistics import fmean, stdev

from damamba_jax.metrics.intervals import Scores

ABSENT = "–"


def with_interval(scores: Scores) -> str:
    """Writes the pooled CCC, with its interval if there is one."""
    if scores.ccc_low is None or scores.ccc_high is None:
        return number(scores.ccc)
    return f"{scores.ccc:.3f} [{scores.ccc_low:.2f}, {scores.ccc_high:.2f}]"


def counted(scores: Scores) -> str:
    """Writes how many frames were scored, or how many turns."""
    return f"{scores.num_frames}{' turns' if scores.unit == 'turn' else ''}"


def over_sessions(scores: Scores) -> str:
    """Writes mean and standard deviation of the CCC of single sessions."""
    if scores.session_mean is None:
        return ABSENT
    spread = "" if scores.session_std is None else f" ± {scores.session_std:.3f}"
    return f"{scores.session_mean:.3f}{spread}"


def number(value: float | None) -> str:
    """Writes a score with three digits."""
    return ABSENT if value is None else f"{value:.3f}"


def percent(value: float | None) -> str:
    """Writes a share in whole per cent."""
    return ABSENT if value is None else f"{100 * value:.0f} %"


def spread(values: Sequence[float]) -> str:
    """Writes mean and standard deviation of several scores; one alone has none."""
    if not values:
        return ABSENT
    deviation = f" ± {stdev(values):.3f}" if len(values) > 1 else ""
    return f"{fmean(values):.3f}{deviation}"


def difference(mean: float, standard_error: float | None) -> str:
    """Writes a signed difference with its standard error, if that can be known."""
    error = "" if standard_error is None else f" ± {standard_error:.3f}"
    return f"{mean:+.3f}{error}"
