"""Checks of every selective scan on this machine's device, shown as one table."""

import sys
from collections.abc import Mapping, Sequence

import jax
from rich.console import Console

from damamba_jax.errors import UsageError, nearest
from damamba_jax.kernels.checks import (
    CHECKS,
    TOLERANCES,
    Outcome,
    choices,
    compute_truth,
    examine,
)
from damamba_jax.kernels.selective_scan import IMPLEMENTATIONS
from damamba_jax.reporting.numbers import ABSENT
from damamba_jax.reporting.table import Table, show
from damamba_jax.runtime.command import make_console
from damamba_jax.runtime.progress import ProgressLine


def check_scans(asked: Sequence[str], console: Console) -> int:
    """Checks implementations and prints the results.

    Args:
      asked: names of implementations; empty means all.
      console: console for the tables.

    Returns:
      The exit status: 1 if an implementation failed, or if one that was asked for
      cannot run here.

    Raises:
      UsageError: for an unknown name.
    """
    for name in asked:
        if name not in IMPLEMENTATIONS:
            raise UsageError(
                f"`--implementation`: unknown implementation {name!r}"
                f"{nearest(name, IMPLEMENTATIONS)}"
            )
    device = jax.devices()[0]
    console.print(f"device: {device.device_kind} ({jax.default_backend()})")
    console.print(f"jax: {jax.__version__}, Python {sys.version.split()[0]}")
    outcomes = _examine_all(asked or list(IMPLEMENTATIONS))
    show(_tabulate(outcomes), console)
    for line in _remarks(outcomes):
        console.print(line)
    console.print("For the stacks of the paper, `implementation=None` takes:")
    for line in choices():
        console.print(f"  {line}")
    bad = [n for n, o in outcomes.items() if o.verdict == "FAILED"]
    bad += [n for n in asked if outcomes[n].verdict == "not here"]
    console.print("failed: " + ", ".join(bad) if bad else "all fine")
    return 1 if bad else 0


def _examine_all(names: Sequence[str]) -> dict[str, Outcome]:
    outcomes = {}
    truths = {name: compute_truth(check) for name, check in CHECKS.items()}
    console = make_console(stderr=True)
    with ProgressLine("selfcheck", console, unit="implementations") as tell:
        for done, name in enumerate(names):
            tell(done, len(names), note=name)
            outcomes[name] = examine(name, CHECKS, truths)
        tell(len(names), len(names))
    return outcomes


def _tabulate(outcomes: Mapping[str, Outcome]) -> Table:
    """Makes a table with one row for each implementation."""
    rows = []
    for name, outcome in outcomes.items():
        worst = [
            f"{outcome.worst[dtype]:.1e}" if dtype in outcome.worst else ABSENT
            for dtype in TOLERANCES
        ]
        counts = f"{outcome.passed} of {len(CHECKS)}"
        rows.append((name, outcome.verdict, *worst, counts, f"{outcome.seconds:.1f}"))
    columns = ("implementation", "result", *(f"worst, {d}" for d in TOLERANCES))
    return Table(
        title="Selective scan against float64",
        columns=(*columns, "checks", "s"),
        rows=tuple(rows),
    )


def _remarks(outcomes: Mapping[str, Outcome]) -> list[str]:
    """Lists failures, and reasons why checks were left out; a reason comes once."""
    lines = []
    for name, outcome in outcomes.items():
        lines += [f"{name}: {text}" for text in outcome.failures]
        reasons = dict.fromkeys(outcome.reasons)
        lines += [f"{name}, left out: {text}" for text in reasons]
    return lines
