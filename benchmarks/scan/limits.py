"""Limits of a scan's speed, from bytes to move and exponentials to compute."""

import dataclasses
import statistics
import time

import jax
import jax.numpy as jnp

from damamba_jax.kernels.selective_scan.arg_specs import ArgSpec

# The softplus takes one special-function operation, and the sigmoid of the gate two.
OTHER_EXPONENTIALS = 3
# Passes over the sequence. The backward pass computes the decays again, since keeping
# them would take [B, L, D, N] of memory.
PASSES = {"forward": 1, "forward_backward": 2}
# (streaming multiprocessors, GHz, exponentials per clock and multiprocessor), by a part
# of the device's name. An H200 was measured at 4.17e12 exponentials per second.
EXPONENTIAL_UNITS = {
    "H200": (132, 1.98, 16),
    "H100 80GB HBM3": (132, 1.98, 16),
    "H100 PCIe": (114, 1.755, 16),
}


@dataclasses.dataclass(frozen=True)
class Limits:
    """Rates of a device.

    Attributes:
      copy_rate: the bytes read and written per second, which a copy measures.
      exponential_rate: the special-function operations per second; None if unknown.
    """

    copy_rate: float
    exponential_rate: float | None

    def seconds(self, spec: ArgSpec, *, dtype: str, run: str) -> float | None:
        """Computes the shortest possible time of a run; None if a rate is unknown."""
        if self.exponential_rate is None:
            return None
        operations = PASSES[run] * elements(spec) * (spec.states + OTHER_EXPONENTIALS)
        return max(
            minimal_bytes(spec, dtype=dtype, run=run) / self.copy_rate,
            operations / self.exponential_rate,
        )


def elements(spec: ArgSpec) -> int:
    """Returns the number of elements of one sequence [B, L, D]."""
    return spec.batch * spec.length * spec.dim


def exponentials(spec: ArgSpec, *, run: str) -> int:
    """Returns the number of decays exp(dt a): [B, L, D, N] in each pass."""
    return PASSES[run] * elements(spec) * spec.states


def minimal_bytes(spec: ArgSpec, *, dtype: str, run: str) -> int:
    """Counts the bytes that must be read and written at least once.

    The forward pass reads x, dt, z, b, c, a, d and bias, and writes y. The backward
    pass reads these inputs and the gradient of y, and writes the gradient of each
    input.
    """
    item = jnp.dtype(dtype).itemsize
    sequence = elements(spec) * item
    projection = spec.batch * spec.length * spec.states * item
    weights = 4 * spec.dim * (spec.states + 2)
    inputs = 3 * sequence + 2 * projection + weights
    total = inputs + sequence
    if run == "forward_backward":
        total += 2 * inputs + sequence
    return total


def exponential_rate(device: str) -> float | None:
    """Looks up the operations per second of a kind of device; None if unknown."""
    for name, (processors, ghz, per_clock) in EXPONENTIAL_UNITS.items():
        if name in device:
            return processors * ghz * 1e9 * per_clock
    return None


def measure_copy_rate(*, num_bytes: int, repeats: int = 9, calls: int = 10) -> float:
    """Measures bytes read and written per second by copies of one large array."""
    array = jnp.zeros(num_bytes // 4, jnp.float32)
    copy = jax.jit(jnp.copy)
    copied = copy(array).block_until_ready()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        for _ in range(calls):
            copied = copy(array)
        copied.block_until_ready()
        times.append((time.perf_counter() - start) / calls)
    return 2 * array.nbytes / statistics.median(times)
