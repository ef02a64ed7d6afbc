"""Leaves behind what a finished run does, with predictions of known noise."""

import json

import numpy as np

from damamba_jax.metrics.intervals import score
from damamba_jax.metrics.trace import Trace
from damamba_jax.runs.traces import write_traces

SESSIONS, FRAMES = ("a", "b", "c"), 400


def scores(ccc, ends=(None, None)):
    return {"ccc": ccc, "ccc_low": ends[0], "ccc_high": ends[1]}


def oracle(ccc):
    return {"seen": "window", "is_transfer": False, "ccc": ccc, "bare_ccc": ccc}


def write_results(folder, splits):
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"results": [{"splits": splits}]})
    (folder / "results.json").write_text(text)


def finish(run, noise, oracles):
    """Finishes a run whose predictions are as far off; twice as far in a second split.

    Args:
      oracles: CCC of the oracle by split.
    """
    found = []
    for i, (split, best) in enumerate(oracles.items()):
        rng = np.random.default_rng((run.config.seed, i))
        label = 0.5 + 0.3 * np.sin(np.linspace(0, 6, FRAMES))
        traces = [
            Trace(
                split=split, session=session, role="expert", language="English",
                label=label,
                prediction=label + (i + 1) * noise * rng.normal(size=FRAMES),
            )
            for session in SESSIONS
        ]  # fmt: skip
        write_traces(run.folder, traces)
        ccc = score(traces).ccc
        found.append({"split": split, "scores": scores(ccc), "oracle": oracle(best)})
    # Nobody in here has labels.
    found.append({"split": "noxi/unknown", "scores": None, "oracle": None})
    write_results(run.folder, found)
