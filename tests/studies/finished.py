"""Leaves behind what a finished run does, with predictions of known noise."""

import numpy as np

from damamba_jax.evaluation.results import OracleReference, Result, SplitResult
from damamba_jax.metrics.intervals import Scores, score
from damamba_jax.metrics.trace import Trace
from damamba_jax.reporting.result_tables import write_json, write_markdown
from damamba_jax.runs.traces import write_traces

SESSIONS, FRAMES = ("a", "b", "c"), 400


def scores(ccc, ends=(None, None)):
    return Scores(
        num_frames=FRAMES, num_sessions=len(SESSIONS), ccc=ccc, pearson=ccc, mse=0.0,
        mae=0.0, ccc_low=ends[0], ccc_high=ends[1],
    )  # fmt: skip


def oracle(ccc):
    return OracleReference(seen="window", is_transfer=False, ccc=ccc, bare_ccc=ccc)


def split(name, scores=None, oracle=None):
    return SplitResult(
        split=name, kind="test", num_sessions=len(SESSIONS), scores=scores,
        oracle=oracle,
    )  # fmt: skip


def write_results(folder, splits):
    folder.mkdir(parents=True, exist_ok=True)
    result = Result(
        method="finished", step=1, protocol="stitched", trained_on_simulated=True,
        scored_on_simulated=True, splits=tuple(splits),
    )  # fmt: skip
    write_json(folder / "results.json", [result])
    write_markdown(folder / "results.md", [result])


def finish(run, noise, oracles):
    """Finishes a run whose predictions are as far off; twice as far in a second split.

    Args:
      oracles: CCC of the oracle by split.
    """
    found = []
    for i, (name, best) in enumerate(oracles.items()):
        rng = np.random.default_rng((run.config.seed, i))
        label = 0.5 + 0.3 * np.sin(np.linspace(0, 6, FRAMES))
        traces = [
            Trace(
                split=name, session=session, role="expert", language="English",
                label=label,
                prediction=label + (i + 1) * noise * rng.normal(size=FRAMES),
            )
            for session in SESSIONS
        ]  # fmt: skip
        write_traces(run.folder, traces)
        found.append(split(name, scores(score(traces).ccc), oracle(best)))
    # Nobody in here has labels.
    found.append(split("noxi/unknown"))
    write_results(run.folder, found)
