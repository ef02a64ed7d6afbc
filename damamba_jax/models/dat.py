"""DAT: the dialogue-aware Transformer (Li et al., MM 2024, arXiv 2410.08470).

    features (native rate) -> standardise -> project -> interpolate -> GELU  per feature
      -> Transformer                                                         per feature
      -> Transformer over the concatenated features                          per group
      -> the target attends to the partners, group by group -> score         per frame

Every Transformer learns positions for the frames of one window, so that a model serves
only the window that it was built for. Target and partners have parameters of their own.

DAT was published for one partner. Here all partners share the parameters of that
partner. The target attends to the frames of all partners at once, and each frame
carries the position of its time. The order of the partners therefore does not matter.
Absent partners are masked, and without any partner the attention adds nothing.

This model differs from the published code (github.com/MSA-LMC/DAT) in four points, so
that all systems are compared on the same terms:

* Features are standardised by training statistics, not by layer normalisation over each
  window.
* A learned vector stands for a missing feature, instead of zeros.
* The score goes through a sigmoid, instead of SELU.
* Dropout has one rate, drops whole channels, and is not used within a feed-forward
  layer.

As in the published code, attention reads the partner without a norm.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from damamba_jax.array_types import Array, Float
from damamba_jax.config.sections import DataConfig
from damamba_jax.config.systems import DATConfig
from damamba_jax.errors import ConfigError
from damamba_jax.models.answer import Answer
from damamba_jax.models.blocks import encode_all
from damamba_jax.models.inputs import (
    Batch,
    FeatureInput,
    Output,
    Reader,
    Statistics,
    System,
    at_labels,
    group_names,
)
from damamba_jax.models.layers import Draws, Dropout, LayerNorm, Linear, split_key
from damamba_jax.models.transformer import Transformer


class PersonEncoder(Reader):
    """Encodes a person: a Transformer for each feature, then one for each group."""

    def __init__(self, config: DATConfig, data: DataConfig, *, rng: Draws) -> None:
        super().__init__(data)
        dtype = jnp.dtype(config.compute_dtype)
        self.window_frames = data.window.window_frames
        self.one_by_one = config.remat
        self.groups = nnx.static(group_names(data.features))
        self.inputs = nnx.Dict(
            {
                f.name: FeatureInput(f, config.dim, dtype=dtype, rng=rng)
                for f in data.features
            }
        )
        self.dropout = Dropout(config.dropout)
        features = _transformers(
            config,
            {feature.name: config.dim for feature in data.features},
            num_blocks=config.feature_blocks,
            head_dim=config.feature_head_dim,
            ffn_dim=config.feature_ffn_dim,
            window_frames=self.window_frames,
            rng=rng,
        )
        self.features = nnx.Dict(features)
        stacks = _group_transformers(config, data, config.group_blocks, rng)
        self.stacks = nnx.Dict(stacks)

    def __call__(
        self,
        batch: dict[str, Any],
        statistics: Mapping[str, Any],
        key: Array | None,
        *,
        first: int,
        last: int,
    ) -> dict[str, Float[Array, "BP T _"]]:
        """Encodes people `first` to `last - 1`, and returns one sequence per group."""
        sequences, _ = self.read_people(
            self.inputs,
            batch,
            statistics,
            first=first,
            last=last,
            num_frames=self.window_frames,
        )
        key_features, *keys = split_key(key, 1 + len(sequences) + len(self.groups))
        inputs = [
            jax.nn.gelu(self.dropout(x, input_key))
            for x, input_key in zip(sequences.values(), keys, strict=False)
        ]
        encoded = encode_all(
            list(self.features.values()),
            inputs,
            key_features,
            one_by_one=self.one_by_one,
        )
        named = dict(zip(sequences, encoded, strict=True))
        return {
            group: self.stacks[group](
                jnp.concatenate([named[name] for name in names], axis=-1), group_key
            )
            for (group, names), group_key in zip(
                self.groups.items(), keys[len(sequences) :], strict=True
            )
        }


class DAT(System):
    """The whole model. The module's docstring gives the order of its stages.

    Args:
      config: the architecture of the model.
      data: features, frame rate, window and normalization of the batches.
      rng: the generator that draws the parameters.
    """

    def __init__(self, config: DATConfig, data: DataConfig, *, rng: Draws) -> None:
        super().__init__(data)
        self.window_frames = data.window.window_frames
        self.target, self.partner = (
            PersonEncoder(config, data, rng=rng) for _ in range(2)
        )
        dialogue = _group_transformers(config, data, config.partner_blocks, rng)
        self.dialogue = nnx.Dict(dialogue)
        width = len(data.features) * config.dim
        self.head_norm = LayerNorm(width)
        self.answer = Answer(data)
        self.head = Linear(
            width, self.answer.width, dtype=jnp.float32, bias=True, rng=rng
        )

    def estimate(
        self, batch: Batch, statistics: Statistics, num_frames: int, key: Array | None
    ) -> Output:
        """Computes the answer for a window as long as the learned positions.

        Raises:
          ConfigError: if the window has another number of frames.
        """
        if num_frames != self.window_frames:
            raise ConfigError(
                f"`num_frames`: DAT has learned the positions of {self.window_frames} "
                f"frames, got {num_frames}. Whole sessions are stitched from windows: "
                f"use the protocol 'stitched'."
            )
        key_target, key_partner, *keys = split_key(key, 2 + len(self.dialogue))
        groups = self.target(batch, statistics, key_target, first=0, last=1)
        valid = batch["participant_valid"][:, 1:]
        partners = self.partner(
            batch, statistics, key_partner, first=1, last=1 + valid.shape[1]
        )
        seen = []
        for (group, x), group_key in zip(groups.items(), keys, strict=True):
            context = partners[group].reshape(*valid.shape, *x.shape[1:])
            seen.append(self.dialogue[group](x, group_key, context, valid))
        hidden = jnp.concatenate(seen, axis=-1)
        hidden = at_labels(hidden, batch["label_time"], frame_hz=self.frame_hz)
        logits = self.head(self.head_norm(hidden.astype(jnp.float32)))
        return Output(self.answer(logits), {}, {})


def _transformers(
    config: DATConfig,
    widths: Mapping[str, int],
    *,
    num_blocks: int,
    head_dim: int,
    ffn_dim: int,
    window_frames: int,
    rng: Draws,
) -> dict[str, Transformer]:
    """Makes one Transformer for each width, by the names of the widths."""
    return {
        name: Transformer(
            config,
            width,
            num_blocks,
            window_frames=window_frames,
            head_dim=head_dim,
            ffn_dim=ffn_dim,
            dtype=jnp.dtype(config.compute_dtype),
            rng=rng,
        )
        for name, width in widths.items()
    }


def _group_transformers(
    config: DATConfig, data: DataConfig, num_blocks: int, rng: Draws
) -> dict[str, Transformer]:
    """Makes a Transformer for each group, as wide as the group's features together."""
    groups = group_names(data.features)
    return _transformers(
        config,
        {group: len(names) * config.dim for group, names in groups.items()},
        num_blocks=num_blocks,
        head_dim=config.group_head_dim,
        ffn_dim=config.group_ffn_dim,
        window_frames=data.window.window_frames,
        rng=rng,
    )
