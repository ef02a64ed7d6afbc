"""Correctness, time and kept memory of one implementation of the scan.

A timed call is a forward pass, or a forward and a backward pass with a given gradient
of y and none of h_last. Training and other kernels work in the same way. There is no
h0, because other kernels do not take one.
"""

import functools
import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.extend import core

from benchmarks.compiled import account
from damamba_jax.kernels import ScanOutput, selective_scan
from damamba_jax.kernels.selective_scan.arg_specs import ArgSpec, make_arguments

# Bytes of all sets of inputs that a GPU uses in turn: several times its caches.
ROTATING_BYTES = 400e6
MOST_SETS = 16
# Calls shorter than this are put into one program. Otherwise a GPU would wait for the
# host.
SHORT_SECONDS = 5e-4
# Shortest time between two readings of the clock on a GPU.
BLOCK_SECONDS = 0.02

# Arguments of the scan without h0, and the gradient of y.
Inputs = tuple[dict[str, jax.Array], jax.Array]


class Program(NamedTuple):
    """A compiled run, with its time of compilation and its memory."""

    function: Callable[..., Any]
    call: jax.stages.Compiled
    compile_seconds: float
    peak_bytes: int
    temporary_bytes: int


def scan(implementation: str, args: Mapping[str, jax.Array]) -> ScanOutput:
    """Calls one implementation, with softplus of `dt`."""
    args = dict(args)
    arrays = [args.pop(k) for k in ("x", "dt", "a", "b", "c")]
    return selective_scan(
        *arrays, **args, dt_softplus=True, implementation=implementation
    )


def forward(
    implementation: str, args: Mapping[str, jax.Array], y_bar: jax.Array
) -> ScanOutput:
    """Computes the outputs."""
    del y_bar
    return scan(implementation, args)


def forward_backward(
    implementation: str, args: Mapping[str, jax.Array], y_bar: jax.Array
) -> tuple[jax.Array, Any]:
    """Computes the output and the gradients of all arguments."""
    output, pullback = jax.vjp(functools.partial(scan, implementation), args)
    (grads,) = pullback(ScanOutput(y_bar, jnp.zeros_like(output.h_last)))
    return output.y, grads


RUNS = {"forward": forward, "forward_backward": forward_backward}


def draw(spec: ArgSpec, dtype: str, *, seed: int = 0) -> Inputs:
    """Draws one set of inputs on the device."""
    args = make_arguments(spec, seed=seed, dtype=dtype)
    del args["h0"]
    key = jax.random.fold_in(jax.random.key(seed), 1)
    return args, jax.random.normal(key, args["x"].shape).astype(dtype)


def draw_sets(spec: ArgSpec, dtype: str) -> list[Inputs]:
    """Draws so many sets of inputs that a GPU's caches cannot hold them; one on a CPU.

    On a GPU there are at least four, so that a program of short calls has several.
    """
    first = draw(spec, dtype)
    if jax.default_backend() == "cpu":
        return [first]
    size = sum(v.nbytes for v in jax.tree.leaves(first))
    number = min(MOST_SETS, max(4, math.ceil(ROTATING_BYTES / size)))
    return [first, *(draw(spec, dtype, seed=seed) for seed in range(1, number))]


def build(run: str, implementation: str, inputs: Inputs) -> Program:
    """Compiles one run for inputs of these shapes."""
    function = jax.jit(functools.partial(RUNS[run], implementation))
    start = time.perf_counter()
    compiled = function.lower(*inputs).compile()
    seconds = time.perf_counter() - start
    return Program(function, compiled, seconds, *account(compiled))


def shorten(inputs: Inputs, *, rows: int, steps: int) -> Inputs:
    """Takes the first rows and steps of every sequence."""
    return jax.tree.map(lambda v: v[:rows, :steps] if v.ndim == 3 else v, inputs)


def truth(inputs: Inputs, limit_bytes: float) -> tuple[Inputs, dict[str, Any]]:
    """Computes in float32, with `reference`, what every implementation must return.

    Returns:
      The inputs, and the results of each run. If the whole inputs take more temporary
      memory than allowed, the inputs are shortened to two rows of 1024 steps.
    """
    exact = jax.tree.map(lambda v: v.astype(jnp.float32), inputs)
    programs = {run: build(run, "reference", exact) for run in RUNS}
    if max(p.temporary_bytes for p in programs.values()) > limit_bytes:
        inputs, exact = (shorten(v, rows=2, steps=1024) for v in (inputs, exact))
        programs = {run: build(run, "reference", exact) for run in RUNS}
    return inputs, {run: program.call(*exact) for run, program in programs.items()}


def disagreement(got: Any, want: Any) -> float:
    """Returns the largest max |err| / max |ref| of all arrays, or NaN if one is NaN."""
    errors = []
    for g, w in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        g, w = g.astype(jnp.float32), w.astype(jnp.float32)
        errors.append(jnp.max(jnp.abs(g - w)) / jnp.max(jnp.abs(w)))
    return float(jnp.max(jnp.stack(errors)))


def kept_bytes(implementation: str, inputs: Inputs) -> int:
    """Counts the bytes that the forward pass keeps for the backward pass.

    They are the arrays of the pullback that are neither inputs nor outputs.
    """

    def residuals(args):
        output, pullback = jax.vjp(functools.partial(scan, implementation), args)
        return tuple(output), jax.tree.leaves(pullback)

    jaxpr = jax.make_jaxpr(residuals)(inputs[0]).jaxpr
    known = {*jaxpr.invars, *jaxpr.constvars, *jaxpr.outvars[: len(ScanOutput._fields)]}
    kept = {
        v for v in jaxpr.outvars if not isinstance(v, core.Literal) and v not in known
    }
    return sum(v.aval.size * v.aval.dtype.itemsize for v in kept)


def measure(
    program: Program, sets: Sequence[Inputs], *, repeats: int, seconds: float
) -> float:
    """Times a program that has run before, and returns the median seconds per call.

    On a GPU, calls over the rotating sets are enqueued without a pause until they take
    `BLOCK_SECONDS`, and there is one wait for all of them. A call that takes `seconds`
    or longer runs only once.
    """
    call, limits = program.call, {"repeats": repeats, "seconds": seconds}
    if jax.default_backend() == "cpu":
        return measure_calls(call, sets, 0.0, **limits)
    # The time of a single call includes a wait for the host, so it is too long.
    once = _time_block(call, sets, 1)
    if once >= seconds:
        return once
    short = once < 20 * SHORT_SECONDS
    if short and _time_block(call, sets, len(sets)) < SHORT_SECONDS:
        together = _together(program, sets)
        return measure_calls(together, [(sets,)], BLOCK_SECONDS, **limits) / len(sets)
    return measure_calls(call, sets, BLOCK_SECONDS, **limits)


def _together(program: Program, sets: Sequence[Inputs]) -> Callable[..., Any]:
    """Compiles one program that runs every set once."""

    @jax.jit
    def run(sets):
        return [program.function(*inputs) for inputs in sets]

    jax.block_until_ready(run(sets))
    return run


def measure_calls(
    call: Callable[..., Any],
    sets: Sequence[Sequence[Any]],
    block: float,
    *,
    repeats: int,
    seconds: float,
) -> float:
    """Returns the median seconds per call, over blocks of at least `block` seconds."""
    calls, last = 1, _time_block(call, sets, 1)
    if last >= seconds:
        return last
    while calls * last < block:
        calls *= 2
        last = _time_block(call, sets, calls)
    times: list[float] = []
    while len(times) < repeats and (len(times) < 3 or calls * sum(times) < seconds):
        times.append(_time_block(call, sets, calls))
    return statistics.median(times)


def _time_block(call: Callable[..., Any], sets: Sequence[Any], calls: int) -> float:
    """Returns the seconds per call of `calls` calls that follow without a pause."""
    result, start = None, time.perf_counter()
    for i in range(calls):
        # Each result is freed when the next one replaces it, in the order of the GPU.
        result = call(*sets[i % len(sets)])
    jax.block_until_ready(result)
    return (time.perf_counter() - start) / calls
