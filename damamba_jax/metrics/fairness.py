"""Conditional differences between groups of people (CDD), as MultiMediate defines them.

Frames are compared within *strata* of the true value, so that a group that is truly
more engaged counts as no difference. A stratum is one of ten bins of the value, or a
true class. The differences are those of the mean prediction; of classes it is the mean
of their numbers, which depends on the order of the classes: the official one counts.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, Int, Shaped

from damamba_jax.metrics.classes import rated_classes
from damamba_jax.metrics.trace import Trace, rated, to_unit

NUM_BINS = 10
# What files say where nobody knows the language.
_UNKNOWN = ("", "unknown")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fairness:
    """Differences between groups of people in one set of frames.

    Args:
      gender: mean prediction of men minus that of women with the same true value; 0
        where no stratum holds both, `None` where no gender is known.
      languages: by language, its mean prediction minus that of all languages with the
        same true value.
      people: how many people are known to be of each gender and language.
    """

    gender: float | None
    languages: Mapping[str, float]
    people: Mapping[str, int]


def value_bins(label: Float[np.ndarray, "T"]) -> Int[np.ndarray, "T"]:
    """Numbers the bins of true values within [0, 1]; -1 is none of them.

    As in the official script, exactly 1 falls out of the last bin.
    """
    edges = np.linspace(0.0, 1.0, NUM_BINS + 1)
    bins = np.digitize(label, edges, right=False) - 1
    return np.where((bins < NUM_BINS) & np.isfinite(label), bins, -1)


def gender_gap(
    strata: Int[np.ndarray, "T"],
    prediction: Float[np.ndarray, "T"],
    gender: Shaped[np.ndarray, "T"],
) -> float:
    """Computes CDD_G: the mean over strata of the predictions' mean, men minus women.

    Strata without both count not; without any that counts the difference is 0.

    Args:
      strata: the stratum of each frame; frames below 0 do not count.
      prediction: values or numbers of classes; frames without do not count.
      gender: `"male"` or `"female"`; frames with anything else do not count.
    """
    gaps = []
    for stratum in _strata(strata, prediction):
        means = [
            prediction[stratum & (gender == name)].mean()
            for name in ("male", "female")
            if (stratum & (gender == name)).any()
        ]
        gaps += [means[0] - means[1]] if len(means) == 2 else []
    return float(np.mean(gaps)) if gaps else 0.0


def language_gaps(
    strata: Int[np.ndarray, "T"],
    prediction: Float[np.ndarray, "T"],
    language: Shaped[np.ndarray, "T"],
) -> dict[str, float]:
    """Computes CDD_L: the same for each language against the whole stratum.

    Args:
      strata, prediction: as `gender_gap` takes them.
      language: frames whose language is unknown do not count.
    """
    known = ~np.isin(np.char.lower(language.astype(str)), _UNKNOWN)
    strata = np.where(known, strata, -1)
    gaps: dict[str, list[float]] = {}
    for stratum in _strata(strata, prediction):
        whole = prediction[stratum].mean()
        for name in np.unique(language[stratum]).tolist():
            own = prediction[stratum & (language == name)].mean()
            gaps.setdefault(str(name), []).append(float(own - whole))
    return {name: float(np.mean(found)) for name, found in sorted(gaps.items())}


def measure_fairness(traces: Sequence[Trace]) -> Fairness | None:
    """Measures the differences between the people of one set.

    Values count within [0, 1], whatever the range of the annotations; classes count by
    their numbers.

    Returns:
      The differences; `None` if neither genders nor two languages are known.
    """
    traces = [trace for trace in traces if trace.is_labelled]
    people: dict[str, int] = {}
    strata, predictions, genders, languages = [], [], [], []
    for trace in traces:
        stratum, prediction = _strata_and_predictions(trace)
        strata.append(stratum)
        predictions.append(prediction)
        names = (trace.gender or "", _known(trace.language))
        for parts, name in zip((genders, languages), names, strict=True):
            parts.append(np.full(len(stratum), name, object))
            if name:
                people[name] = people.get(name, 0) + 1
    has_gender = any(trace.gender for trace in traces)
    num_languages = len({_known(trace.language) for trace in traces} - {""})
    if not has_gender and num_languages < 2:
        return None
    arrays = np.concatenate(strata), np.concatenate(predictions)
    found = {}
    if num_languages > 1:
        found = language_gaps(*arrays, np.concatenate(languages))
    return Fairness(
        gender=gender_gap(*arrays, np.concatenate(genders)) if has_gender else None,
        languages=found,
        people=people,
    )


def _strata_and_predictions(trace: Trace) -> tuple[np.ndarray, np.ndarray]:
    """The stratum and the prediction of each frame, or turn, that has a label."""
    if trace.classes:
        found = rated_classes(trace)
        return found.label, found.prediction.astype(np.float64)
    frames = rated(trace)
    label, prediction = (to_unit(x, trace.label_range) for x in frames)
    return value_bins(label), prediction


def _known(language: str | None) -> str:
    """The name of a language; empty if it is unknown."""
    name = language or ""
    return "" if name.lower() in _UNKNOWN else name


def _strata(strata: np.ndarray, prediction: np.ndarray) -> list[np.ndarray]:
    """The frames of each stratum that holds any."""
    strata = np.where(np.isfinite(prediction), strata, -1)
    return [strata == number for number in np.unique(strata[strata >= 0])]
