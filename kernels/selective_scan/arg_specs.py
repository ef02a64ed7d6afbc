"""Named shapes of real workloads, for tests and benchmarks."""

import dataclasses

import jax
import jax.numpy as jnp

from damamba_jax.array_types import Array, Float


@dataclasses.dataclass(frozen=True)
class ArgSpec:
    """Sizes of one workload: B, L, D and N."""

    batch: int
    length: int
    dim: int
    states: int = 16


ARG_SPECS = {
    # The stacks of the paper's configuration (width 256, expand 2) for 128 windows of
    # two people: one feature, the audio group (two features) and the visual group
    # (three features).
    "paper_feature": ArgSpec(256, 96, 512),
    "paper_audio": ArgSpec(256, 96, 1024),
    "paper_visual": ArgSpec(256, 96, 1536),
    # The same stacks of a small model that trains on two CPU cores.
    "demo_feature": ArgSpec(64, 96, 64),
    "demo_audio": ArgSpec(128, 96, 128),
    "demo_visual": ArgSpec(128, 96, 192),
    # GPU kernels are judged by these: short windows, long sequences, one recording.
    "window_512": ArgSpec(128, 96, 512),
    "window_1024": ArgSpec(128, 96, 1024),
    "window_large_batch": ArgSpec(512, 96, 1024),
    "sequence_2k": ArgSpec(8, 2048, 1024),
    "sequence_8k": ArgSpec(8, 8192, 1024),
    "recording_131k": ArgSpec(1, 131072, 1024),
}


def make_arguments(
    spec: ArgSpec, *, seed: int = 0, dtype: str = "float32"
) -> dict[str, Float[Array, "..."]]:
    """Draws every array argument as a freshly initialised layer would see it.

    Transitions are those of S4D-real, `-(1 .. N)`, and each deviates by up to 20 %.
    Step sizes lie around softplus([-4, -2]) = [0.02, 0.13].

    Args:
      spec: the sizes.
      seed: the seed of all draws.
      dtype: name of the dtype of `x, dt, b, c, z`; the other arrays are float32.
    """
    keys = iter(jax.random.split(jax.random.key(seed), 9))
    sequence = (spec.batch, spec.length, spec.dim)
    projection = (spec.batch, spec.length, spec.states)

    def normal(shape):
        return jax.random.normal(next(keys), shape)

    def uniform(shape, low, high):
        return jax.random.uniform(next(keys), shape, minval=low, maxval=high)

    spread = uniform((spec.dim, spec.states), 0.8, 1.2)
    return {
        "x": normal(sequence).astype(dtype),
        "dt": (0.5 * normal(sequence)).astype(dtype),
        "a": -jnp.arange(1.0, spec.states + 1)[None] * spread,
        "b": normal(projection).astype(dtype),
        "c": normal(projection).astype(dtype),
        "d": normal((spec.dim,)),
        "z": normal(sequence).astype(dtype),
        "dt_bias": uniform((spec.dim,), -4.0, -2.0),
        "h0": 0.1 * normal((spec.batch, spec.dim, spec.states)),
    }
