"""Layers that all stages share: standardisation, interpolation and small modules."""

import math
from collections.abc import Collection

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import DTypeLike

from damamba_jax.array_types import Array, Bool, Float
from damamba_jax.errors import ConfigError
from damamba_jax.schema.missing import usable_entries, usable_frames

# A position that is nearer to a sample than this share of the distance between samples
# counts as that sample. Seconds in float32 are this exact over an hour at 25 Hz.
SNAP = 1e-2
# Standardised features are clipped to this number of standard deviations. Real streams
# reach thousands of them.
CLIP = 10.0

# A session's spread may not be smaller than this share of the training split's spread.
# Without this limit, a column that hardly moves in one recording would become magnified
# noise.
SESSION_FLOOR = 0.1

# The generator that draws parameters. None makes zeros, which cost nothing under
# `jax.eval_shape`, so that a model's shapes are known before its arrays exist.
Draws = np.random.Generator | None


def standardize(
    x: Float[Array, "*b Tn F"],
    valid: Bool[Array, "*b Tn"],
    center: Float[Array, "*r F"],
    inverse_scale: Float[Array, "*r F"],
    missing_value: float | None,
) -> tuple[Float[Array, "*b Tn F"], Bool[Array, "*b Tn"]]:
    """Standardises and clips native frames, and decides which of them are missing.

    The rule for missing frames is in `schema/missing.py`. A missing entry becomes the
    centre of its column, which is 0 after standardising.

    Args:
      x: the frames as the file holds them.
      valid: whether the file has a sample for a frame.
      center, inverse_scale: the centre and the inverse spread of each column, either
        one row for all sequences or one for each. A column with `inverse_scale` 0 is
        dropped.
      missing_value: the number that the feature's extractor writes for a missing entry,
        or None.

    Returns:
      The standardised frames, and whether each frame is valid.
    """
    usable = usable_entries(x, missing_value)
    frame_valid = valid & usable_frames(x, usable, _match(inverse_scale > 0, x))
    z = (x - _match(center, x)) * _match(inverse_scale, x)
    z = jnp.clip(jnp.where(usable, z, 0.0), -CLIP, CLIP)
    return z, frame_valid


def session_scale(
    session: Float[Array, "B two F"],
    center: Float[Array, "F"],
    inverse_scale: Float[Array, "F"],
) -> tuple[Float[Array, "B F"], Float[Array, "B F"]]:
    """Combines the statistics of each sequence's recording with the training split's.

    The recording's centre and spread replace those of the training split, but the
    spread is at least `SESSION_FLOOR` of the training split's spread. A column that the
    training split drops stays dropped. A column that is unknown in a recording (NaN)
    keeps the training split's centre and spread.

    Args:
      session: the centre and the spread of each column of each recording.
      center, inverse_scale: the statistics of the training split.

    Returns:
      The centre and the inverse scale of each sequence, for `standardize`.
    """
    known = jnp.isfinite(session[:, 0]) & jnp.isfinite(session[:, 1])
    spread = jnp.where(known, session[:, 1], 1.0)
    # This is 1 / max(spread, floor / inverse_scale), without dividing by the 0 of a
    # dropped column.
    inverse = inverse_scale[None] / jnp.maximum(
        spread * inverse_scale[None], SESSION_FLOOR
    )
    return (
        jnp.where(known, session[:, 0], center[None]),
        jnp.where(known, inverse, inverse_scale[None]),
    )


def interpolate(
    values: Float[Array, "*b Tn C"],
    valid: Bool[Array, "*b Tn"],
    positions: Float[Array, "*b T"],
) -> tuple[Float[Array, "*b T C"], Bool[Array, "*b T"]]:
    """Interpolates linearly between neighbouring samples.

    Before the first sample and after the last one, the value of that sample is used.
    Between a missing and a valid sample, the value of the valid one is used. Between
    two missing samples the result is missing and zero.

    Args:
      values: the samples.
      valid: whether each sample is there.
      positions: where to interpolate, in samples: 0 is the first sample, `Tn - 1` the
        last.

    Returns:
      The interpolated values, and whether each of them is valid.
    """
    num = values.shape[-2]
    # A position that differs from a sample only by rounding is that sample. Otherwise a
    # neighbour would replace a missing sample, and a causal model would see a little of
    # the future.
    nearest = jnp.round(positions)
    positions = jnp.where(abs(positions - nearest) < SNAP, nearest, positions)
    positions = jnp.clip(positions, 0.0, num - 1.0)
    left = jnp.floor(positions).astype(jnp.int32)
    right = jnp.minimum(left + 1, num - 1)
    fraction = positions - left.astype(positions.dtype)
    weight_left = jnp.where(_take(valid, left), 1.0 - fraction, 0.0)
    weight_right = jnp.where(_take(valid, right), fraction, 0.0)
    total = weight_left + weight_right
    scale = jnp.where(total > 0, 1.0 / jnp.where(total > 0, total, 1.0), 0.0)
    dtype = values.dtype
    out = _take(values, left) * (weight_left * scale).astype(dtype)[..., None]
    out += _take(values, right) * (weight_right * scale).astype(dtype)[..., None]
    return out, total > 0


def _take(x: Array, index: Array) -> Array:
    """Gathers rows along the time axis, which follows the batch axes of `index`."""
    take = jnp.take
    for _ in range(index.ndim - 1):
        take = jax.vmap(take, in_axes=(0, 0, None))
    return take(x, index, 0)


def _match(vector: Array, x: Array) -> Array:
    """Gives the rank of `x` to a vector of columns, or to one vector per sequence."""
    *rows, dim = vector.shape
    return vector.reshape(*rows, *(1,) * (x.ndim - vector.ndim), dim)


class Linear(nnx.Module):
    """Projection over the last axis, computed in `dtype`, with float32 parameters.

    The kernel starts as normal draws with variance 1 / in_dim (LeCun). The bias starts
    at zero.
    """

    def __init__(
        self,
        in_dim: int,
        out_dim: int,
        *,
        dtype: DTypeLike,
        rng: Draws,
        bias: bool = False,
    ):
        self.dtype = jnp.dtype(dtype)
        self.kernel = normal(rng, (in_dim, out_dim), scale=in_dim**-0.5)
        self.bias = constant((out_dim,), 0.0) if bias else None

    def __call__(self, x: Float[Array, "*b I"]) -> Float[Array, "*b O"]:
        (y,) = self.pieces(x, 1)
        return y

    def pieces(self, x: Float[Array, "*b I"], num: int) -> list[Float[Array, "*b P"]]:
        """Returns the output, cut along its width into `num` equal pieces.

        Each piece is a matrix product of its own. A slice of one wide output would be a
        copy on a GPU, in addition to the output itself.
        """
        x = x.astype(self.dtype)
        kernels = jnp.split(self.kernel[...].astype(self.dtype), num, axis=1)
        outputs = [_project(x, kernel) for kernel in kernels]
        if self.bias is not None:
            biases = jnp.split(self.bias[...].astype(self.dtype), num)
            outputs = [
                y + _match(bias, y) for y, bias in zip(outputs, biases, strict=True)
            ]
        return outputs


@jax.custom_vjp
def _project(x, kernel):
    return x @ kernel


def _project_forward(x, kernel):
    return x @ kernel, (x, kernel)


def _project_backward(residuals, dy):
    # Without the barrier, XLA delays the gradients of kernels to the end of a block's
    # backward pass, and keeps every input until then.
    return jax.lax.optimization_barrier(jax.vjp(jnp.matmul, *residuals)[1](dy))


_project.defvjp(_project_forward, _project_backward)


def normal(rng: Draws, shape: tuple[int, ...], *, scale: float) -> nnx.Param:
    """Draws a parameter from a normal distribution.

    Parameters are drawn with NumPy. They are then the same on every platform, and a
    model starts in a second instead of after hundreds of compilations.
    """
    if rng is None:
        return constant(shape, 0.0)
    drawn = rng.standard_normal(shape, np.float32)
    drawn *= np.float32(scale)
    return nnx.Param(drawn)


def uniform(
    rng: Draws, shape: tuple[int, ...], *, low: float, high: float
) -> nnx.Param:
    """Draws a parameter uniformly from [low, high]."""
    if rng is None:
        return constant(shape, 0.0)
    return nnx.Param(rng.uniform(low, high, shape).astype(np.float32))


def constant(shape: tuple[int, ...], value: float) -> nnx.Param:
    """Makes a parameter whose entries all start at one value."""
    return nnx.Param(np.full(shape, value, np.float32))


class Norm(nnx.Module):
    """RMS normalisation in float32. The result has the input's dtype."""

    def __init__(self, dim: int):
        self.scale = constant((dim,), 1.0)

    def __call__(self, x: Float[Array, "*b C"]) -> Float[Array, "*b C"]:
        x32 = x.astype(jnp.float32)
        inverse = jax.lax.rsqrt(jnp.mean(x32 * x32, axis=-1, keepdims=True) + 1e-6)
        return (x32 * inverse * _match(self.scale[...], x32)).astype(x.dtype)


class LayerNorm(nnx.Module):
    """Layer normalisation (Ba et al., arXiv 1607.06450), in float32 like `Norm`."""

    def __init__(self, dim: int):
        self.scale, self.bias = constant((dim,), 1.0), constant((dim,), 0.0)

    def __call__(self, x: Float[Array, "*b C"]) -> Float[Array, "*b C"]:
        x32 = x.astype(jnp.float32)
        x32 = x32 - jnp.mean(x32, axis=-1, keepdims=True)
        inverse = jax.lax.rsqrt(jnp.mean(x32 * x32, axis=-1, keepdims=True) + 1e-5)
        y = x32 * inverse * _match(self.scale[...], x32) + _match(self.bias[...], x32)
        return y.astype(x.dtype)


class Dropout(nnx.Module):
    """Drops whole channels of a sequence. Without a key it changes nothing.

    There is one draw for each sequence and channel instead of one for each frame.
    Neighbouring frames of a conversation are nearly equal, so that independent draws
    would average out over time.
    """

    def __init__(self, rate: float):
        self.rate = rate

    def __call__(
        self, x: Float[Array, "B T C"], key: Array | None
    ) -> Float[Array, "B T C"]:
        if key is None or self.rate == 0.0:
            return x
        batch, _, dim = x.shape
        keep = jax.random.bernoulli(key, 1.0 - self.rate, (batch, 1, dim))
        return x * keep.astype(x.dtype) * jnp.asarray(1.0 / (1.0 - self.rate), x.dtype)


def split_key(key: Array | None, num: int) -> list[Array | None]:
    """Splits a key, or repeats None, because evaluation has no randomness."""
    return [None] * num if key is None else list(jax.random.split(key, num))


def initial_dt_bias(rng: Draws, num: int) -> nnx.Param:
    """Draws biases such that `softplus(bias)` is log-uniform in [1e-3, 1e-1]."""
    low, high = math.log(1e-3), math.log(1e-1)
    dt = np.exp(np.asarray(uniform(rng, (num,), low=low, high=high)[...]))
    # The inverse of softplus.
    return nnx.Param(dt + np.log(-np.expm1(-dt)))


def named_scan(name: str, known: Collection[str]) -> str | None:
    """Returns the implementation that `model.scan` names.

    An empty name gives `None`, which stands for the best implementation on this
    machine.

    Raises:
      ConfigError: if the name is unknown.
    """
    if name and name not in known:
        raise ConfigError(
            f"`model.scan`: expected one of {', '.join(known)}, or empty for the best "
            f"one here, got {name!r}."
        )
    return name or None


class DepthwiseConv(nnx.Module):
    """Causal depthwise convolution over time, or an anti-causal one with `reverse`.

    It is written as a sum of shifted products. With four taps a kernel would do the
    same, and XLA fuses it with the SiLU that follows on every platform.
    """

    def __init__(self, dim: int, width: int, *, reverse: bool, rng: Draws) -> None:
        self.reverse = reverse
        bound = width**-0.5
        self.kernel = uniform(rng, (width, dim), low=-bound, high=bound)
        # Mamba draws this bias around 0, and we start it at 1. Channels then have a
        # positive mean behind the SiLU. B and C are made of these channels and start
        # near constants, so that the scan starts as a moving average. With a bias
        # around 0 the scan starts as a product of three random signals, which averages
        # to nothing. A model then learns for long only what its attention sees.
        self.bias = constant((dim,), 1.0)

    def __call__(self, x: Float[Array, "B T D"]) -> Float[Array, "B T D"]:
        kernel = self.kernel[...].astype(x.dtype)
        width, length = kernel.shape[0], x.shape[1]
        pad = (0, width - 1) if self.reverse else (width - 1, 0)
        padded = jnp.pad(x, ((0, 0), pad, (0, 0)))
        y = self.bias[...].astype(x.dtype)[None, None]
        # Tap 0 multiplies the oldest frame of its direction.
        taps = kernel[::-1] if self.reverse else kernel
        for i in range(width):
            y = y + taps[i][None, None] * padded[:, i : i + length]
        return y
