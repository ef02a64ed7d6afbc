"""Turns the columns of a system's last layer into its answer: a score, or classes.

numbers:          sigmoid of one column                        [B, T]
classes:          log-softmax of one column for each class     [B, T, K]
ordered classes:  P(y <= k) = sigmoid(c_k - s) of one column s and learned cuts
                  c_0 < c_1 < ... (the proportional-odds model, McCullagh 1980)
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from damamba_jax.array_types import Array, Float
from damamba_jax.config.sections import DataConfig
from damamba_jax.models.layers import constant

# Cuts are this many times their parameters, so that they keep up with the score: an
# optimizer moves every parameter by about the learning rate in a step.
_SPEED = 10.0


class Answer(nnx.Module):
    """Turns the columns of the last layer into a score or log-probabilities.

    Args:
      data: the configuration of the data. It names the classes, if there are any.
    """

    def __init__(self, data: DataConfig) -> None:
        self.num_classes = len(data.classes)
        # Two classes are always in order.
        self.ordered = data.classes_ordered and self.num_classes > 2
        if self.ordered:
            # With these cuts all classes are equally likely when the column is 0.
            share = np.arange(1, self.num_classes) / self.num_classes
            cuts = np.log(share / (1.0 - share))
            gaps = np.log(np.expm1(np.diff(cuts)))
            self.first_cut = constant((), float(cuts[0]) / _SPEED)
            self.gaps = nnx.Param((gaps / _SPEED).astype(np.float32))

    @property
    def width(self) -> int:
        """Number of columns of the last layer."""
        return self.num_classes if self.num_classes and not self.ordered else 1

    def __call__(self, logits: Float[Array, "*B W"]) -> Float[Array, "..."]:
        """Returns scores `[*B]` in [0, 1], or log-probabilities `[*B, K]`."""
        if not self.num_classes:
            return jax.nn.sigmoid(logits[..., 0])
        if not self.ordered:
            return jax.nn.log_softmax(logits)
        axes = range(logits.ndim - 1)
        gaps = jnp.expand_dims(jax.nn.softplus(_SPEED * self.gaps[...]), axes)
        first = jnp.expand_dims(_SPEED * self.first_cut[...][None], axes)
        cuts = jnp.concatenate([first, first + jnp.cumsum(gaps, axis=-1)], axis=-1)
        # sigmoid(a) - sigmoid(b) = sigmoid(a) sigmoid(-b) (1 - exp(b - a)). The
        # logarithm of each factor stays finite, however far away the score lies.
        below = jax.nn.log_sigmoid(cuts - logits)
        above = jax.nn.log_sigmoid(logits - cuts)
        zero = jnp.zeros_like(logits)
        between = jnp.log(-jnp.expm1(-gaps))
        edge = jnp.zeros_like(first)
        return (
            jnp.concatenate([below, zero], axis=-1)
            + jnp.concatenate([zero, above], axis=-1)
            + jnp.concatenate([edge, between, edge], axis=-1)
        )
