"""Checks every selective scan on this machine's own device against float64 NumPy.

    python -m damamba_jax.selfcheck [--implementation=NAME,NAME]

Outputs, final state and all gradients, in float32 and bfloat16, with odd lengths, 8, 16
and 32 states, in reverse, with and without gate, skip, bias and initial state. Prints
one row an implementation: its worst error, or why it cannot run here, or what failed.
An error is max |err| / max |ref| of one array. The exit code is 1 when something fails,
or when an implementation that was asked for by name cannot run here.
"""

import dataclasses
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from absl import flags
from rich.console import Console

from damamba_jax.kernels.checks import (
    CHECKS,
    TOLERANCES,
    Check,
    compute,
    compute_truth,
    errors,
)
from damamba_jax.kernels.selective_scan import (
    IMPLEMENTATIONS,
    Case,
    choose,
    supports,
)
from damamba_jax.kernels.selective_scan.arg_specs import ARG_SPECS
from damamba_jax.reporting.numbers import ABSENT
from damamba_jax.reporting.table import Table
from damamba_jax.runtime.progress import ProgressLine


@dataclasses.dataclass
class Outcome:
    """What the checks found out about one implementation.

    Attributes:
      worst: largest error by dtype, of outputs and gradients together.
      passed: how many checks were fine.
      failures: which check failed, in what, by how much.
      reasons: why checks were left out, as `supports` says it.
      seconds: compilation included.
    """

    worst: dict[str, float] = dataclasses.field(default_factory=dict)
    passed: int = 0
    failures: list[str] = dataclasses.field(default_factory=list)
    reasons: list[str] = dataclasses.field(default_factory=list)
    seconds: float = 0.0

    @property
    def verdict(self) -> str:
        """One word for the table."""
        if self.failures:
            return "FAILED"
        return "ok" if self.passed else "not here"


def examine(
    implementation: str, checks: Mapping[str, Check], truths: Mapping[str, Any]
) -> Outcome:
    """Runs all checks of one implementation; what it raises counts as a failure."""
    outcome, start = Outcome(), time.perf_counter()
    for name, check in checks.items():
        sizes = dataclasses.asdict(check.sizes)
        case = Case(**sizes, dtype=check.dtype, platform=jax.default_backend())
        support = supports(implementation, case)
        if not support:
            outcome.reasons.append(support.reason)
            continue
        try:
            runs = [errors(v, truths[name]) for v in compute(implementation, check)]
        # Whatever an implementation raises on somebody's device belongs in the report.
        except Exception as error:
            line = (str(error).strip().splitlines() or [""])[0]
            outcome.failures.append(f"{name}: {type(error).__name__}: {line}")
            continue
        wrong = _beyond_tolerance(runs, check.dtype)
        if wrong:
            outcome.failures.append(f"{name}: {', '.join(wrong)}")
        else:
            outcome.passed += 1
        worst = [outcome.worst.get(check.dtype, 0.0)]
        worst += [error for run in runs for error in run.values()]
        outcome.worst[check.dtype] = float(np.max(worst))
    outcome.seconds = time.perf_counter() - start
    return outcome


def _beyond_tolerance(runs: Sequence[Mapping[str, float]], dtype: str) -> list[str]:
    outputs, gradients = TOLERANCES[dtype]
    return [
        f"{array}{' alone' * index} by {error:.1e}"
        for index, run in enumerate(runs)
        for array, error in run.items()
        if not error <= (gradients if array.startswith("gradient") else outputs)
    ]


def tabulate(outcomes: Mapping[str, Outcome]) -> Table:
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


def remarks(outcomes: Mapping[str, Outcome]) -> list[str]:
    """Says what failed and what was left out, the same reason once."""
    lines = []
    for name, outcome in outcomes.items():
        lines += [f"{name}: {text}" for text in outcome.failures]
        reasons = dict.fromkeys(outcome.reasons)
        lines += [f"{name}, left out: {text}" for text in reasons]
    return lines


def choices() -> list[str]:
    """Says what `implementation=None` takes for the stacks of the paper."""
    lines = []
    for name, spec in ARG_SPECS.items():
        if not name.startswith("paper"):
            continue
        for dtype in TOLERANCES:
            sizes = dataclasses.asdict(spec)
            case = Case(**sizes, dtype=dtype, platform=jax.default_backend())
            lines.append(
                f"{name} (B {spec.batch}, L {spec.length}, D {spec.dim}, N "
                f"{spec.states}), {dtype}: {choose(case)}"
            )
    return lines


def _flags() -> flags.FlagValues:
    values = flags.FlagValues()
    flags.DEFINE_list(
        "implementation", [], f"Names, with commas: {', '.join(IMPLEMENTATIONS)}; "
        "default all.", flag_values=values,
    )  # fmt: skip
    flags.DEFINE_boolean("help", False, "Shows this text.", flag_values=values)
    return values


def main(argv: Sequence[str]) -> int:
    """Runs the command; returns its exit code."""
    values = _flags()
    try:
        rest = values(list(argv))
        if values.help:
            print(f"{__doc__}\n{values.get_help()}")
            return 0
        if len(rest) > 1:
            raise ValueError(f"expected flags only, got {rest[1]!r}.")
        asked = values.implementation
        for name in asked:
            if name not in IMPLEMENTATIONS:
                raise ValueError(
                    f"`--implementation`: expected names out of "
                    f"{', '.join(IMPLEMENTATIONS)}, got {name!r}."
                )
    except (flags.Error, ValueError) as error:
        print(f"selfcheck: {error}", file=sys.stderr)
        return 1
    console = Console(highlight=False, markup=False)
    device = jax.devices()[0]
    console.print(f"device: {device.device_kind} ({jax.default_backend()})")
    console.print(f"jax: {jax.__version__}, Python {sys.version.split()[0]}")
    outcomes, names = {}, asked or list(IMPLEMENTATIONS)
    truths = {name: compute_truth(check) for name, check in CHECKS.items()}
    with ProgressLine(
        "selfcheck", Console(stderr=True), unit="implementations"
    ) as tell:
        for done, name in enumerate(names):
            tell(done, len(names), note=name)
            outcomes[name] = examine(name, CHECKS, truths)
        tell(len(names), len(names))
    console.print(tabulate(outcomes).to_rich())
    for line in remarks(outcomes):
        console.print(line, soft_wrap=True)
    console.print("`implementation=None` takes, for the stacks of the paper:")
    for line in choices():
        console.print(f"  {line}", soft_wrap=True)
    bad = [n for n, o in outcomes.items() if o.verdict == "FAILED"]
    bad += [n for n in asked if outcomes[n].verdict == "not here"]
    console.print("failed: " + ", ".join(bad) if bad else "all fine")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
