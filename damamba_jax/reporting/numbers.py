"""Numbers as text: scores, shares, spreads and differences."""

from collections.abc import Sequence
from statistics import fmean, stdev

from damamba_jax.metrics.agreement import Agreement
from damamba_jax.metrics.classes import ClassScores

ABSENT = "–"


def with_interval(scores: Agreement) -> str:
    """Writes the pooled CCC or kappa, with its interval if it has one."""
    ends = scores.interval
    if ends is None:
        return number(scores.value)
    return f"{scores.value:.3f} [{ends.low:.2f}, {ends.high:.2f}]"


# Measures besides the headline score: title of the column, attribute and digits.
_NUMBERS = (("Pearson r", "pearson", 3), ("MSE", "mse", 4), ("MAE", "mae", 4))
_CLASSES = (
    ("weighted kappa", "weighted_kappa", 3), ("accuracy", "accuracy", 3),
    ("macro-F1", "macro_f1", 3), ("AUC", "auc", 3),
)  # fmt: skip


def details(scores: Agreement) -> dict[str, str]:
    """Writes the measures besides the headline score, by the titles of columns."""
    return mean_details([scores])


def mean_details(seeds: Sequence[Agreement]) -> dict[str, str]:
    """Writes the same measures as `details`, averaged over several models.

    Args:
      seeds: the scores of each model.
    """
    measures = _CLASSES if isinstance(seeds[0], ClassScores) else _NUMBERS
    found = {}
    for title, name, digits in measures:
        values = [getattr(one, name) for one in seeds]
        if name != "weighted_kappa" or values[0] is not None:
            there = [value for value in values if value is not None]
            mean = fmean(there) if len(there) == len(values) else None
            found[title] = number(mean, digits)
    return found


def counted(scores: Agreement) -> str:
    """Writes the number of frames or turns that were scored."""
    return f"{scores.num_frames}{' turns' if scores.unit == 'turn' else ''}"


def over_sessions(scores: Agreement) -> str:
    """Writes the mean and the standard deviation of the scores of single sessions."""
    if scores.session_mean is None:
        return ABSENT
    spread = "" if scores.session_std is None else f" ± {scores.session_std:.3f}"
    return f"{scores.session_mean:.3f}{spread}"


def number(value: float | None, digits: int = 3) -> str:
    """Writes a number with some digits after the point; `None` becomes a dash."""
    return ABSENT if value is None else f"{value:.{digits}f}"


def percent(value: float | None) -> str:
    """Writes a share in whole per cent; `None` becomes a dash."""
    return ABSENT if value is None else f"{100 * value:.0f} %"


def spread(values: Sequence[float]) -> str:
    """Writes the mean and the standard deviation of several scores.

    A single score has no standard deviation.
    """
    if not values:
        return ABSENT
    deviation = f" ± {stdev(values):.3f}" if len(values) > 1 else ""
    return f"{fmean(values):.3f}{deviation}"


def difference(mean: float, standard_error: float | None) -> str:
    """Writes a signed difference, with its standard error if that is known."""
    error = "" if standard_error is None else f" ± {standard_error:.3f}"
    return f"{mean:+.3f}{error}"
