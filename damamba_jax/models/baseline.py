"""The challenge's baseline: a small network that sees one frame of one person.

    features -> standardise -> project -> interpolate, summed   (the first layer)
      -> ReLU, dense layers with ReLU -> score                  per frame

The organisers of MultiMediate train one such network for each feature set. It has three
hidden layers, with dropout before the last (github.com/hcmlab/MultiMediate_26). Here
the network can also read several features together: the sum of one first layer for each
feature equals one layer over all columns.

The published network scales columns to [0, 1] with the extremes of training and
validation data, pairs rows with labels by index, minimises the squared error of each
frame, and has a linear output. Here the network gets the same as the other systems:
features that are standardised by training statistics and placed in time, a learned
vector where a feature is missing, the loss of the run, and a score within [0, 1].
"""

import jax
import jax.numpy as jnp
from flax import nnx

from damamba_jax.array_types import Array
from damamba_jax.config.sections import DataConfig
from damamba_jax.config.systems import BaselineConfig
from damamba_jax.models.answer import Answer
from damamba_jax.models.inputs import (
    Batch,
    FeatureInput,
    Output,
    Statistics,
    System,
    at_labels,
)
from damamba_jax.models.layers import Draws, Dropout, Linear


class Baseline(System):
    """Multi-layer perceptron over the target's features of one frame.

    Args:
      config: the architecture of the model.
      data: features, frame rate, window and normalization of the batches.
      rng: the generator that draws the parameters.
    """

    def __init__(self, config: BaselineConfig, data: DataConfig, *, rng: Draws) -> None:
        super().__init__(data)
        dtype = jnp.dtype(config.compute_dtype)
        first, *others = config.hidden_dims
        self.inputs = nnx.Dict(
            {
                f.name: FeatureInput(f, first, dtype=dtype, rng=rng)
                for f in data.features
            }
        )
        widths = [first, *others]
        self.hidden = nnx.List(
            [
                Linear(before, after, dtype=dtype, bias=True, rng=rng)
                for before, after in zip(widths, others, strict=False)
            ]
        )
        self.dropout = Dropout(config.dropout)
        self.answer = Answer(data)
        self.head = Linear(
            widths[-1], self.answer.width, dtype=jnp.float32, bias=True, rng=rng
        )

    def estimate(
        self, batch: Batch, statistics: Statistics, num_frames: int, key: Array | None
    ) -> Output:
        """Computes the answer, frame by frame."""
        sequences, _ = self.read_people(
            self.inputs,
            batch,
            statistics,
            first=0,
            last=1,
            num_frames=num_frames,
        )
        x = jax.nn.relu(sum(sequences.values()))
        for number, layer in enumerate(self.hidden, start=1):
            if number == len(self.hidden):
                x = self.dropout(x, key)
            x = jax.nn.relu(layer(x))
        x = at_labels(x, batch["label_time"], frame_hz=self.frame_hz)
        return Output(self.answer(self.head(x.astype(jnp.float32))), {}, {})
