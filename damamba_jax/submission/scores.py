"""Scores of the predictions in an archive, if annotations are known."""

from collections.abc import Sequence

from damamba_jax.metrics.challenge import Part, challenge_scores
from damamba_jax.metrics.intervals import score
from damamba_jax.metrics.trace import Trace
from damamba_jax.reporting.numbers import number
from damamba_jax.reporting.table import Table
from damamba_jax.submission.predictions import Prediction


def score_tables(predictions: Sequence[Prediction]) -> list[Table]:
    """Makes a table with the scores of the sets, and with the overall scores.

    Args:
      predictions: predictions; those without annotations are left out.

    Returns:
      One table; none if nothing can be scored.
    """
    traces: dict[Part, list[Trace]] = {}
    for one in predictions:
        if one.trace is not None and one.trace.is_labelled:
            traces.setdefault(one.part, []).append(one.trace)
    scores = {part: score(found).value for part, found in sorted(traces.items())}
    if not scores:
        return []
    rows = [(part.split, part.annotation, number(s)) for part, s in scores.items()]
    rows += [(name, "", number(s)) for name, s in challenge_scores(scores).items()]
    return [
        Table(
            title="Scores of the predictions in the archive",
            columns=("set", "annotation", "score"),
            rows=tuple(rows),
            notes=(
                "Scores are the CCC, or for classes Cohen's kappa, over all frames of "
                "a set together, before values were clipped. Ranking 2026 gives each "
                "CCC the weight 1/6, and the mean of PInSoRo's four kappas 1/3. The "
                "organisers have not published how they join these four.",
            ),
        )
    ]
