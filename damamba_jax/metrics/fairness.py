"""Conditional differences between groups of people (CDD), as MultiMediate defines them.

Frames are compared within *strata* of the true value. A group that is truly more
engaged than another thus makes no difference. A stratum is one of ten bins of the
value, or a true class. The differences are those of the mean prediction. For classes
this is the mean of the class numbers, which depends on the order of the classes. The
official order is used.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, Int, Shaped

from damamba_jax.metrics.classes import rated_classes
from damamba_jax.metrics.trace import Trace, rated, to_unit
from damamba_jax.schema.release import official_numbers

NUM_BINS = 10
# Words in files for a language that nobody knows.
_UNKNOWN = ("", "unknown")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fairness:
    """Differences between groups of people in one set of frames.

    Args:
      gender: the mean prediction of men minus that of women with the same true value; 0
        if no stratum holds both, `None` if no gender is known.
      languages: for each language, its mean prediction minus that of all languages with
        the same true value.
      people: the number of people with each known gender and language; somebody who
        sits in several sessions counts once for each.
    """

    gender: float | None
    languages: Mapping[str, float]
    people: Mapping[str, int]


def value_bins(label: Float[np.ndarray, "T"]) -> Int[np.ndarray, "T"]:
    """Returns the bin number of each true value within [0, 1].

    Values in no bin get -1. As in the official script, exactly 1 is in no bin.
    """
    edges = np.linspace(0.0, 1.0, NUM_BINS + 1)
    bins = np.digitize(label, edges, right=False) - 1
    return np.where((bins < NUM_BINS) & np.isfinite(label), bins, -1)


def gender_gap(
    strata: Int[np.ndarray, "T"],
    prediction: Float[np.ndarray, "T"],
    gender: Shaped[np.ndarray, "T"],
) -> float:
    """Computes CDD_G: the mean prediction of men minus that of women, over strata.

    The difference is taken in each stratum and averaged over strata. Strata without
    both men and women do not count. If no stratum counts, the difference is 0.

    Args:
      strata: the stratum of each frame; frames with a number below 0 do not count.
      prediction: values or numbers of classes; frames with NaN do not count.
      gender: `"male"` or `"female"`; frames with any other word do not count.
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
    """Computes CDD_L: the mean prediction of a language minus that of all languages.

    The difference is taken in each stratum that holds the language, and averaged over
    these strata.

    Args:
      strata, prediction: the arguments of `gender_gap` with these names.
      language: the language of each frame. Frames of unknown language do not count.
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
    """Measures the differences between groups of people in one set.

    Values are mapped to [0, 1] from the range of the annotations. Classes count by
    their numbers.

    Returns:
      The differences, or `None` if neither genders nor two languages are known.
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
    """Returns stratum and prediction of each frame, or turn, that has a label."""
    if trace.classes:
        found, order = rated_classes(trace), np.array(official_numbers(trace.classes))
        return order[found.label], order[found.prediction].astype(np.float64)
    frames = rated(trace)
    label, prediction = (to_unit(x, trace.label_range) for x in frames)
    return value_bins(label), prediction


def _known(language: str | None) -> str:
    """Returns the name of a language, which is empty if it is unknown."""
    name = language or ""
    return "" if name.lower() in _UNKNOWN else name


def _strata(strata: np.ndarray, prediction: np.ndarray) -> list[np.ndarray]:
    """Returns a mask of frames for each stratum that holds frames."""
    strata = np.where(np.isfinite(prediction), strata, -1)
    return [strata == number for number in np.unique(strata[strata >= 0])]
