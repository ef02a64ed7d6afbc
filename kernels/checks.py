"""Checks that `selfcheck` runs on the implementations of the selective scan.

A check draws arguments, computes the true result in float64, and measures the error of
an implementation. `examine` runs the checks on JAX's default device.
"""

import dataclasses
import functools
import time
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from damamba_jax.kernels import ScanOutput, selective_scan
from damamba_jax.kernels.selective_scan import Case, choose, supports, truth
from damamba_jax.kernels.selective_scan.arg_specs import ARG_SPECS, ArgSpec

Arguments = Mapping[str, Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Check:
    """One set of arguments that every implementation must get right.

    Attributes:
      sizes: the sizes of the arrays.
      without: optional arguments that are left out.
      dtype: the type of the sequences and projections.
      dt_softplus, reverse: the options of `selective_scan` with these names.
      alone: whether the forward pass is also run outside of differentiation, where an
        implementation may run another program.
    """

    sizes: ArgSpec
    without: tuple[str, ...] = ()
    dtype: str = "float32"
    dt_softplus: bool = True
    reverse: bool = False
    alone: bool = False


# There are few checks, because each one compiles programs of its own. Together they
# cover every option and odd sizes.
CHECKS = {
    "one step": Check(sizes=ArgSpec(2, 1, 128, 32)),
    "33 steps, bare, reverse": Check(
        sizes=ArgSpec(3, 33, 37, 8),
        without=("d", "z", "dt_bias", "h0"),
        dt_softplus=False,
        reverse=True,
    ),
    "window": Check(sizes=ArgSpec(2, 96, 256, 16), alone=True),
    "97 steps, bfloat16, reverse": Check(
        sizes=ArgSpec(1, 97, 130, 16), dtype="bfloat16", reverse=True, alone=True
    ),
    "33 steps, bfloat16, no gate": Check(
        sizes=ArgSpec(2, 33, 128, 32), without=("z", "h0"), dtype="bfloat16"
    ),
}
# The largest error of y and h_last, and the largest error of the gradients.
TOLERANCES = {"float32": (1e-5, 1e-4), "bfloat16": (1e-2, 1e-2)}


def draw(check: Check) -> tuple[Arguments, Any, Any]:
    """Draws the arguments of a check and cotangents of `y` and `h_last`.

    NumPy draws them, because `make_arguments` would compile every draw of every size.
    """
    rng, sizes = np.random.default_rng(1), check.sizes
    sequence = (sizes.batch, sizes.length, sizes.dim)
    projection = (sizes.batch, sizes.length, sizes.states)
    state = (sizes.batch, sizes.dim, sizes.states)

    def normal(shape, scale=1.0, dtype="float32"):
        return jnp.asarray((scale * rng.standard_normal(shape)), dtype)

    args = {
        "x": normal(sequence, dtype=check.dtype),
        "dt": normal(sequence, 0.5, check.dtype),
        "a": jnp.asarray(-rng.uniform(0.8, sizes.states, state[1:]), jnp.float32),
        "b": normal(projection, dtype=check.dtype),
        "c": normal(projection, dtype=check.dtype),
        "d": normal(sizes.dim),
        "z": normal(sequence, dtype=check.dtype),
        "dt_bias": jnp.asarray(rng.uniform(-4.0, -2.0, sizes.dim), jnp.float32),
        "h0": normal(state),
    }
    if not check.dt_softplus:
        # A step size without softplus must be positive, or the state grows without
        # bound.
        args["dt"] = jnp.abs(args["dt"]) * jnp.asarray(0.2, check.dtype)
    args = {k: v for k, v in args.items() if k not in check.without}
    return args, normal(sequence, dtype=check.dtype), normal(state)


def compute_truth(check: Check) -> dict[str, Any]:
    """Computes outputs and gradients in float64, from inputs of the check's dtype."""
    args, y_bar, h_bar = draw(check)
    options = {"dt_softplus": check.dt_softplus, "reverse": check.reverse}
    y, h_last, *_ = truth.scan(args, **options)
    grads = truth.gradients(args, y_bar, h_bar, **options)
    return _by_name(y, h_last, grads)


def compute(implementation: str, check: Check) -> list[dict[str, Any]]:
    """Computes outputs and gradients with an implementation, on the default device.

    Returns:
      One dict of arrays by name for the run under differentiation. If `check.alone` is
      set, a second one follows: the outputs of the forward pass alone.
    """
    scan = functools.partial(
        _call,
        implementation=implementation,
        dt_softplus=check.dt_softplus,
        reverse=check.reverse,
    )

    @jax.jit
    def run(args, y_bar, h_bar):
        output, pullback = jax.vjp(scan, args)
        return *output, pullback(ScanOutput(y_bar, h_bar))[0]

    args, *bars = draw(check)
    found = [_by_name(*run(args, *bars))]
    if check.alone:
        y, h_last = jax.jit(scan)(args)
        found.append(_by_name(y, h_last, {}))
    return jax.device_get(found)


def _call(args: Arguments, **options: Any) -> ScanOutput:
    args = dict(args)
    arrays = [args.pop(k) for k in ("x", "dt", "a", "b", "c")]
    return selective_scan(*arrays, **args, **options)


def _by_name(y: Any, h_last: Any, grads: Mapping[str, Any]) -> dict[str, Any]:
    named = {f"gradient of {name}": value for name, value in grads.items()}
    return {"y": y, "h_last": h_last, **named}


def errors(got: Mapping[str, Any], want: Mapping[str, Any]) -> dict[str, float]:
    """Computes max |got - want| / max |want| for every array. NaN stays NaN."""
    found = {}
    for name, value in got.items():
        value, truth = (np.asarray(v, np.float64) for v in (value, want[name]))
        scale = np.abs(truth).max() or 1.0
        found[name] = float(np.abs(value - truth).max() / scale)
    return found


@dataclasses.dataclass
class Outcome:
    """Result of all checks of one implementation.

    Attributes:
      worst: the largest error for each dtype, over outputs and gradients.
      passed: how many checks passed.
      failures: one line for each failed check, with the wrong arrays and their errors.
      reasons: why checks were left out, in the words of `supports`.
      seconds: how long the checks took, compilation included.
    """

    worst: dict[str, float] = dataclasses.field(default_factory=dict)
    passed: int = 0
    failures: list[str] = dataclasses.field(default_factory=list)
    reasons: list[str] = dataclasses.field(default_factory=list)
    seconds: float = 0.0

    @property
    def verdict(self) -> str:
        """The result in one or two words, for the table."""
        if self.failures:
            return "FAILED"
        return "ok" if self.passed else "not here"


def examine(
    implementation: str, checks: Mapping[str, Check], truths: Mapping[str, Any]
) -> Outcome:
    """Runs all checks of one implementation. An exception counts as a failure.

    Args:
      implementation: the name of the implementation.
      checks: the checks, by name.
      truths: the results of `compute_truth`, by the names of the checks.
    """
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
        # Every exception of an implementation on a user's device is to be reported.
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


def choices() -> list[str]:
    """Says what `implementation=None` chooses for the stacks of the paper."""
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
