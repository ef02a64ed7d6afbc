"""Estimates the lengths of sessions, and the rates that follow from them."""

import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from damamba_jax.data.formats.placing import Samples, steady_rate
from damamba_jax.data.guess.clusters import Cluster
from damamba_jax.data.guess.columns import in_seconds

# Rates that programs write, each with a number that says how common it is.
_USUAL = {
    1.0: 2, 2.0: 1, 4.0: 1, 5.0: 2, 8.0: 1, 10.0: 3, 12.5: 1, 15.0: 1, 20.0: 1, 24.0: 2,
    25.0: 5, 30.0: 4, 40.0: 1, 50.0: 3, 60.0: 2, 100.0: 3, 120.0: 1, 200.0: 1, 250.0: 1,
    500.0: 1, 1000.0: 1,
}  # fmt: skip
_SNAP = 0.02


def usual_rate(rate: float) -> float:
    """Returns a usual rate within 2 %; if there is none, the rate with four digits."""
    near = [r for r in _USUAL if abs(rate - r) <= _SNAP * r]
    return near[0] if near else float(f"{rate:.4g}")


def time_rate(cluster: Cluster) -> float:
    """Estimates the rate from the times of tables, Hz; 0 if that is not possible."""
    found = []
    for content in cluster.contents:
        time = in_seconds(content, cluster.columns, cluster.columns.time)
        # The rows of several people follow one after the other, or are mixed.
        time = np.unique(time[np.isfinite(time)])
        rows = np.arange(len(time))
        nothing = np.zeros(len(time), np.int64)
        samples = Samples(time, np.full(len(time), np.inf), nothing, rows)
        rate = steady_rate(samples, 0.0)
        found += [rate] * bool(rate)
    return usual_rate(statistics.median(found)) if found else 0.0


def measure(clusters: Sequence[Cluster]) -> dict[str, float]:
    """Estimates the length of each session, s, by its name in lower case.

    Sessions whose length is unknown are left out.
    """
    lengths: dict[str, list[float]] = defaultdict(list)
    ends: dict[str, list[float]] = defaultdict(list)
    for cluster in clusters:
        columns = cluster.columns
        for fields, content in zip(
            cluster.pattern.fields, cluster.contents, strict=True
        ):
            session = fields.get("session", "").lower()
            if not session:
                continue
            if content.kind == "stream" and content.rate:
                lengths[session].append(content.rows / content.rate)
            elif content.kind == "eaf":
                ends[session].append(content.seconds)
            elif columns.unit != "frames" and "turn" not in fields:
                name = columns.end or columns.time
                time = in_seconds(content, columns, name) if name else np.zeros(0)
                time = time[np.isfinite(time)]
                if len(time):
                    known = lengths if columns.time else ends
                    known[session].append(float(time.max()))
                elif columns.duration and columns.turn:
                    spans = in_seconds(content, columns, columns.duration)
                    ends[session].append(float(np.nansum(spans)))
    found = {session: max(seconds) for session, seconds in ends.items()}
    found |= {session: statistics.median(s) for session, s in lengths.items()}
    return {session: seconds for session, seconds in found.items() if seconds > 0}


def rate_by_length(cluster: Cluster, seconds: Mapping[str, float]) -> float:
    """Returns the rate at which rows fill their sessions, Hz; 0 if it is unknown."""
    people = max(len(cluster.columns.people), 1)
    rates = [
        content.rows / people / seconds[session]
        for fields, content in zip(
            cluster.pattern.fields, cluster.contents, strict=True
        )
        if (session := fields.get("session", "").lower()) in seconds and content.rows
    ]
    return usual_rate(statistics.median(rates)) if rates else 0.0


def rate_by_turns(cluster: Cluster, turns: Cluster) -> float:
    """Returns the rate at which the rows of a turn fill it, Hz; 0 if it is unknown."""
    spans: dict[tuple[str, str], float] = {}
    columns = turns.columns
    for fields, content in zip(turns.pattern.fields, turns.contents, strict=True):
        if columns.end and columns.start:
            start = in_seconds(content, columns, columns.start)
            length = in_seconds(content, columns, columns.end) - start
        elif columns.end:
            length = np.diff(in_seconds(content, columns, columns.end), prepend=0.0)
        else:
            length = in_seconds(content, columns, columns.duration)
        if columns.turn in content.texts:
            names = list(content.texts[columns.turn])
        else:
            numbers = content.numbers.get(columns.turn, np.zeros(0))
            names = [f"{number:g}" for number in numbers.tolist()]
        session = fields.get("session", "").lower()
        for name, span in zip(names, length.tolist(), strict=False):
            spans[session, name.lower()] = span
    rates = []
    for fields, content in zip(cluster.pattern.fields, cluster.contents, strict=True):
        session, turn = fields.get("session", "").lower(), fields["turn"].lower()
        span = spans.get((session, turn), spans.get(("", turn), 0.0))
        if span > 0 and content.rows:
            rates.append(content.rows / span)
    return usual_rate(statistics.median(rates)) if rates else 0.0


def fitting_rates(rows: Mapping[str, float]) -> dict[str, float]:
    """Finds usual rates at which series of different lengths last the same time.

    Args:
      rows: typical number of rows of each series, by its name.

    Returns:
      The rates by name, Hz; 25 Hz for all if no usual rates fit.
    """
    if not rows:
        return {}
    first, *_ = rows
    best: tuple[int, dict[str, float]] = (0, dict.fromkeys(rows, 25.0))
    for base in _USUAL:
        rates = {n: usual_rate(base * r / rows[first]) for n, r in rows.items()}
        if all(rate in _USUAL for rate in rates.values()):
            score = sum(_USUAL[rate] for rate in rates.values())
            if score > best[0]:
                best = (score, rates)
    return best[1]


def typical_rows(cluster: Cluster) -> float:
    """Returns the median number of rows of one person in one file."""
    people = max(len(cluster.columns.people), 1)
    rows = [content.rows / people for content in cluster.contents if content.rows]
    return statistics.median(rows) if rows else 0.0
