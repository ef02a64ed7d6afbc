"""Overall scores of the MultiMediate challenges, from the scores of their test sets.

| score | definition |
|---|---|
| Global 2024 | the mean CCC of NoXi Base, NoXi-Add and MPIIGI |
| Combined 2025 | the mean CCC of these 3 sets and NoXi-J; the 2026 README has it too |
| Ranking 2026 | 1/6 of each of these four CCCs, plus 1/3 of PInSoRo |

The score of PInSoRo is the mean of four kappas, for two kinds of pairs and two
annotations. The organisers give the weight of PInSoRo, but not how the four kappas are
joined. The plain mean is our reading.
"""

from collections.abc import Mapping
from typing import NamedTuple


class Part(NamedTuple):
    """A test set, and the one of its annotations that is scored."""

    split: str
    annotation: str = "engagement"


_BASE, _ADD = Part("noxi/test-base"), Part("noxi/test-additional")
_GROUPS, _J = Part("mpiigroupinteraction/test"), Part("noxi-j/test")
_KAPPAS = [
    Part(f"pinsoro/test-{pairs}", f"{kind}_engagement")
    for pairs in ("cc", "cr")
    for kind in ("social", "task")
]

GLOBAL_2024 = "Global 2024"

# For each score, the weights of its parts.
SCORES: Mapping[str, Mapping[Part, float]] = {
    GLOBAL_2024: dict.fromkeys((_BASE, _ADD, _GROUPS), 1 / 3),
    "Combined 2025": dict.fromkeys((_BASE, _ADD, _J, _GROUPS), 1 / 4),
    "Ranking 2026": {
        **dict.fromkeys((_BASE, _ADD, _J, _GROUPS), 1 / 6),
        **dict.fromkeys(_KAPPAS, 1 / 3 / len(_KAPPAS)),
    },
}


def challenge_scores(parts: Mapping[Part, float]) -> dict[str, float]:
    """Computes every overall score whose parts are all known.

    Args:
      parts: the CCC or kappa of each test set that was scored. There may be parts that
        no score uses.
    """
    return {
        name: sum(weight * parts[part] for part, weight in weights.items())
        for name, weights in SCORES.items()
        if weights.keys() <= parts.keys()
    }
