"""Checks every selective scan on this machine's own device against float64 NumPy.

    python -m damamba_jax.selfcheck [--implementation=NAME,NAME]

Outputs, final state and all gradients, in float32 and bfloat16, with odd lengths, 8, 16
and 32 states, in reverse, with and without gate, skip, bias and initial state. Prints
one row an implementation: its worst error, or why it cannot run here, or what failed.
An error is max |err| / max |ref| of one array. The exit code is 1 when something fails,
or when an implementation that was asked for by name cannot run here.
"""

import functools
import sys
from collections.abc import Mapping, Sequence

import jax
from absl import flags
from rich.console import Console

from damamba_jax.errors import ConfigError
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
from damamba_jax.reporting.table import Table
from damamba_jax.runtime.command import read_flags, run
from damamba_jax.runtime.progress import ProgressLine
from damamba_jax.runtime.stop import StopRequest


def main(argv: Sequence[str]) -> int:
    """Runs the command; returns its exit code."""
    console = Console(highlight=False, markup=False)
    return run(functools.partial(_check, argv), console=console)


def _check(argv: Sequence[str], stop: StopRequest, console: Console) -> int:
    del stop  # Nothing needs saving: a signal ends the process at once.
    asked = _read_names(argv)
    device = jax.devices()[0]
    console.print(f"device: {device.device_kind} ({jax.default_backend()})")
    console.print(f"jax: {jax.__version__}, Python {sys.version.split()[0]}")
    outcomes = _examine_all(asked or list(IMPLEMENTATIONS))
    console.print(_tabulate(outcomes).to_rich())
    for line in _remarks(outcomes):
        console.print(line, soft_wrap=True)
    console.print("`implementation=None` takes, for the stacks of the paper:")
    for line in choices():
        console.print(f"  {line}", soft_wrap=True)
    bad = [n for n, o in outcomes.items() if o.verdict == "FAILED"]
    bad += [n for n in asked if outcomes[n].verdict == "not here"]
    console.print("failed: " + ", ".join(bad) if bad else "all fine")
    return 1 if bad else 0


def _read_names(argv: Sequence[str]) -> list[str]:
    """Names of the implementations that were asked for.

    Raises:
      ConfigError: for a wrong flag or an unknown name.
    """
    values = flags.FlagValues()
    flags.DEFINE_list(
        "implementation", [], f"Names, with commas: {', '.join(IMPLEMENTATIONS)}; "
        "default all.", flag_values=values,
    )  # fmt: skip
    read_flags(values, argv, __doc__ or "")
    for name in values.implementation:
        if name not in IMPLEMENTATIONS:
            raise ConfigError(
                f"`--implementation`: expected names out of "
                f"{', '.join(IMPLEMENTATIONS)}, got {name!r}."
            )
    return values.implementation


def _examine_all(names: Sequence[str]) -> dict[str, Outcome]:
    outcomes = {}
    truths = {name: compute_truth(check) for name, check in CHECKS.items()}
    console = Console(stderr=True)
    with ProgressLine("selfcheck", console, unit="implementations") as tell:
        for done, name in enumerate(names):
            tell(done, len(names), note=name)
            outcomes[name] = examine(name, CHECKS, truths)
        tell(len(names), len(names))
    return outcomes


def _tabulate(outcomes: Mapping[str, Outcome]) -> Table:
    """Makes a table of one row an implementation."""
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
    """Says what failed and what was left out, the same reason once."""
    lines = []
    for name, outcome in outcomes.items():
        lines += [f"{name}: {text}" for text in outcome.failures]
        reasons = dict.fromkeys(outcome.reasons)
        lines += [f"{name}, left out: {text}" for text in reasons]
    return lines


if __name__ == "__main__":
    sys.exit(main(sys.argv))
