"""How well predictions agree with annotations: pooled CCC in float64, with intervals.

Everything is pooled: the frames of all tracks of a set are put end to end, then scored
once (MultiMediate's rule; the mean of per-session scores is another number). Intervals
come from resampling whole sessions, since frames of one session are not independent.
"""

import dataclasses
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float

logger = logging.getLogger(__name__)

Align = Literal["index", "official_script5"]

# Of the challenge's scripts 3 and 4; script 5 has none.
EPSILON = 1e-12


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Trace:
    """One person's annotation and prediction over a whole session.

    Args:
      split: e.g. `"noxi/val"`.
      session: name of the session within its split.
      role: e.g. `"expert"`.
      label: annotation, NaN where there is none.
      prediction: one value per frame of `label`.
      label_rate: Hz.
      language: of the session, where known.
    """

    split: str
    session: str
    role: str
    label: Float[np.ndarray, "Tl"]
    prediction: Float[np.ndarray, "Tp"]
    label_rate: float = 25.0
    language: str | None = None

    @property
    def is_labelled(self) -> bool:
        return bool(np.isfinite(self.label).any())


class Frames(NamedTuple):
    """Annotation and prediction of the same frames, without gaps, float64."""

    label: Float[np.ndarray, "T"]
    prediction: Float[np.ndarray, "T"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scores:
    """Agreement over pooled frames.

    Args:
      num_frames, num_sessions: what was pooled.
      ccc: concordance correlation coefficient; 0 for a constant prediction.
      pearson: correlation, the highest CCC an affine map of the prediction can reach;
        0 where either side is constant.
      mse, mae: mean squared and mean absolute error.
      ccc_low, ccc_high: ends of the session-bootstrap interval; `None` for fewer than
        two sessions, whose spread cannot be known.
    """

    num_frames: int
    num_sessions: int
    ccc: float
    pearson: float
    mse: float
    mae: float
    ccc_low: float | None = None
    ccc_high: float | None = None


def align_frames(
    label: Float[np.ndarray, "Tl"],
    prediction: Float[np.ndarray, "Tp"],
    *,
    align: Align = "index",
) -> Frames:
    """Pairs annotation and prediction of one track and drops frames without label.

    `"index"` pairs frame i with line i. `"official_script5"` does what the challenge's
    script 5 does: missing lines are deleted on both sides separately, then both are
    cut to the shorter. A full-length prediction is thereby shifted after every gap of
    the annotation; use it only to reproduce that script.

    Raises:
      ValueError: for unequal lengths, or a prediction that is missing or infinite
        where there is a label (`"index"`).
    """
    label = np.asarray(label, np.float64)
    prediction = np.asarray(prediction, np.float64)
    if align == "official_script5":
        label, prediction = label[~np.isnan(label)], prediction[~np.isnan(prediction)]
        shorter = min(len(label), len(prediction))
        return Frames(label[:shorter], prediction[:shorter])
    if align != "index":
        raise ValueError(
            f"`align`: expected 'index' or 'official_script5', got {align!r}."
        )
    if label.shape != prediction.shape:
        raise ValueError(
            f"`prediction`: expected one value per frame of `label` ({len(label)}), "
            f"got {len(prediction)}."
        )
    valid = np.isfinite(label)
    bad = valid & ~np.isfinite(prediction)
    if bad.any():
        raise ValueError(
            "`prediction`: expected a finite value at every labelled frame, got "
            f"{np.count_nonzero(bad)} others, the first at frame {np.argmax(bad)}."
        )
    return Frames(label[valid], prediction[valid])


def ccc(
    label: Float[np.ndarray, "T"],
    prediction: Float[np.ndarray, "T"],
    *,
    epsilon: float = EPSILON,
) -> float:
    """Concordance correlation coefficient (Lin, 1989) with population variances.

    `2 r σt σp / (σt² + σp² + (μt - μp)² + epsilon)`, computed in float64 through the
    covariance, so that a constant prediction gives 0 (a warning is logged) where the
    challenge's correlation gives NaN.

    Raises:
      ValueError: for missing values, no frames, or unequal lengths.
    """
    frames = _checked(label, prediction)
    _warn_constant(frames.prediction)
    moments = _moments(frames, shift=float(frames.label.mean()))
    return float(_ccc(moments[None], epsilon)[0])


def score(
    traces: Sequence[Trace],
    *,
    align: Align = "index",
    num_resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Scores:
    """Scores the pooled frames of `traces`, with a session-bootstrap interval.

    Args:
      traces: tracks to be pooled; those without any label do not count.
      align: how prediction and annotation are paired, see `align_frames`.
      num_resamples: draws of as many sessions as there are, with replacement; 0
        leaves the interval out.
      confidence: share of the draws between the interval's ends (percentiles).
      seed: of the draws. The interval does not depend on the order of `traces`.

    Raises:
      ValueError: if no frame has a label.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"`confidence`: expected within (0, 1), got {confidence}.")
    pooled, moments = _by_session(traces, align)
    moments = np.stack(list(moments.values()))
    total = moments.sum(axis=0, keepdims=True)
    epsilon = EPSILON if align == "index" else 0.0
    is_constant = _warn_constant(pooled.prediction)
    low, high = _interval(moments, num_resamples, confidence, seed, epsilon)
    return Scores(
        num_frames=len(pooled.label),
        num_sessions=len(moments),
        ccc=0.0 if is_constant else float(_ccc(total, epsilon)[0]),
        pearson=0.0 if is_constant else float(_pearson(total)[0]),
        mse=float(total[0, 6] / total[0, 0]),
        mae=float(total[0, 7] / total[0, 0]),
        ccc_low=low,
        ccc_high=high,
    )


def leave_one_out(traces: Sequence[Trace]) -> dict[tuple[str, str], float]:
    """CCC of the pooled frames of all sessions but one, for each in turn.

    Returns:
      By (split, session), in the order of their names.

    Raises:
      ValueError: for fewer than two sessions with labels.
    """
    _, moments = _by_session(traces, "index")
    if len(moments) < 2:
        raise ValueError(
            f"`traces`: expected labels in two sessions or more, got {len(moments)}."
        )
    table = np.stack(list(moments.values()))
    scores = _ccc(table.sum(axis=0) - table, EPSILON)
    return dict(zip(moments, scores.tolist(), strict=True))


def score_by(
    traces: Sequence[Trace],
    group: Literal["session", "role", "language"],
    **score_options,
) -> dict[str, Scores]:
    """Scores every session, role or language apart, in the order of their names.

    Sessions of several splits are told apart as `split/session`. Traces whose language
    is unknown count as `"unknown"`; groups without a labelled frame are left out.
    """
    keys: Mapping[str, Callable[[Trace], str]] = {
        "session": lambda trace: f"{trace.split}/{trace.session}",
        "role": lambda trace: trace.role,
        "language": lambda trace: trace.language or "unknown",
    }
    if group not in keys:
        raise ValueError(f"`group`: expected one of {sorted(keys)}, got {group!r}.")
    groups: dict[str, list[Trace]] = {}
    for trace in traces:
        if trace.is_labelled:
            groups.setdefault(keys[group](trace), []).append(trace)
    return {name: score(groups[name], **score_options) for name in sorted(groups)}


def pool(traces: Iterable[Trace], *, align: Align = "index") -> Frames:
    """Concatenates the labelled frames of several tracks."""
    return _concatenate(
        [align_frames(t.label, t.prediction, align=align) for t in traces]
    )


def _by_session(
    traces: Sequence[Trace], align: Align
) -> tuple[Frames, dict[tuple[str, str], np.ndarray]]:
    """All labelled frames, and the moments of each (split, session)."""
    sessions: dict[tuple[str, str], list[Frames]] = {}
    for trace in sorted(traces, key=lambda t: (t.split, t.session, t.role)):
        frames = align_frames(trace.label, trace.prediction, align=align)
        if len(frames.label):
            sessions.setdefault((trace.split, trace.session), []).append(frames)
    if not sessions:
        raise ValueError(
            f"`traces`: expected at least one labelled frame, got {len(traces)} traces "
            "without any."
        )
    pooled = _concatenate([frames for group in sessions.values() for frames in group])
    shift = float(pooled.label.mean())
    return pooled, {
        key: sum(_moments(f, shift=shift) for f in group)
        for key, group in sessions.items()
    }


def _concatenate(parts: Sequence[Frames]) -> Frames:
    empty = [np.zeros(0)]
    return Frames(
        np.concatenate([part.label for part in parts] or empty),
        np.concatenate([part.prediction for part in parts] or empty),
    )


# Sufficient statistics: n, Σt, Σp, Σt², Σp², Σtp, Σ(t-p)², Σ|t-p|. They add up over
# tracks and sessions, so a resample is one row of weights times this table. All values
# are taken relative to one `shift` (the pooled mean), without which the variances
# would cancel.
def _moments(frames: Frames, *, shift: float) -> Float[np.ndarray, "8"]:
    t, p = frames.label - shift, frames.prediction - shift
    error = t - p
    return np.array(
        [len(t), t.sum(), p.sum(), t @ t, p @ p, t @ p, error @ error, abs(error).sum()]
    )


class _Covariances(NamedTuple):
    label: Float[np.ndarray, "R"]
    prediction: Float[np.ndarray, "R"]
    joint: Float[np.ndarray, "R"]
    offset: Float[np.ndarray, "R"]


def _covariances(moments: Float[np.ndarray, "R 8"]) -> _Covariances:
    n, t, p, tt, pp, tp = moments[:, :6].T
    return _Covariances(
        label=np.maximum(tt / n - (t / n) ** 2, 0.0),
        prediction=np.maximum(pp / n - (p / n) ** 2, 0.0),
        joint=tp / n - t * p / n**2,
        offset=(t - p) / n,
    )


def _ccc(moments: Float[np.ndarray, "R 8"], epsilon: float) -> Float[np.ndarray, "R"]:
    c = _covariances(moments)
    denominator = c.label + c.prediction + c.offset**2 + epsilon
    zero = np.zeros_like(denominator)
    return np.divide(2 * c.joint, denominator, out=zero, where=denominator > 0)


def _pearson(moments: Float[np.ndarray, "R 8"]) -> Float[np.ndarray, "R"]:
    c = _covariances(moments)
    scale = np.sqrt(c.label * c.prediction)
    r = np.divide(c.joint, scale, out=np.zeros_like(scale), where=scale > EPSILON)
    return np.clip(r, -1.0, 1.0)


def _interval(
    moments: np.ndarray,
    num_resamples: int,
    confidence: float,
    seed: int,
    epsilon: float,
) -> tuple[float | None, float | None]:
    sessions = len(moments)
    if sessions < 2 or num_resamples < 1:
        return None, None
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(sessions, np.full(sessions, 1 / sessions), num_resamples)
    draws = _ccc(counts.astype(np.float64) @ moments, epsilon)
    low, high = np.quantile(draws, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def _checked(label: np.ndarray, prediction: np.ndarray) -> Frames:
    frames = Frames(np.asarray(label, np.float64), np.asarray(prediction, np.float64))
    if frames.label.shape != frames.prediction.shape or not len(frames.label):
        raise ValueError(
            "`label`, `prediction`: expected the same length of at least 1, got "
            f"{len(frames.label)} and {len(frames.prediction)}."
        )
    for name, values in frames._asdict().items():
        if not np.isfinite(values).all():
            raise ValueError(
                f"`{name}`: expected finite values, got "
                f"{np.count_nonzero(~np.isfinite(values))} others; mask them with "
                "`align_frames`."
            )
    return frames


def _warn_constant(prediction: np.ndarray) -> bool:
    is_constant = prediction.min() == prediction.max()
    if is_constant:
        logger.warning(
            "The prediction is constant (%g over %d frames): CCC is 0.",
            prediction[0],
            len(prediction),
        )
    return bool(is_constant)
