"""DA-Mamba: the dialogue-aware state-space model (arXiv 2509.17711).

    features (native rate) -> standardise -> project -> interpolate   per feature
      -> hybrid blocks                                                per feature
      -> group stacks (audio 2d, visual 3d wide) -> cross-attention   per person
      -> context stack over the partners -> target attends -> hybrid blocks -> score

Weights are shared between participants.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from damamba_jax.array_types import Array, Bool, Float
from damamba_jax.config import FeatureConfig, ModelConfig
from damamba_jax.models.fusion import (
    DialogueEncoder,
    ModalityFusion,
    ModalityGroup,
    PartnerFusion,
)
from damamba_jax.models.hybrid import Stack, stack_modules
from damamba_jax.models.layers import (
    Draws,
    Linear,
    interpolate,
    normal,
    split_key,
    standardize,
)

# Width in which the modality groups of a person are compared.
ALIGNMENT_DIM = 128


class Output(NamedTuple):
    """What the model says about one batch.

    Attributes:
      score: engagement in [0, 1] at the label times, float32 [B, Tl].
      alignment: per group, the target's embeddings for the alignment loss, float32
        [B, T, A].
      group_valid: per group, frames at which the target has at least one of its
        features, bool [B, T].
    """

    score: Float[Array, "B Tl"]
    alignment: dict[str, Float[Array, "B T A"]]
    group_valid: dict[str, Bool[Array, "B T"]]


class FeatureEncoder(nnx.Module):
    """One feature: standardise, project at its native rate, interpolate, encode.

    Projection and linear interpolation commute, so projecting first gives the same
    numbers from a quarter of the rows (25 Hz streams, 100 Hz model). Frames at which
    the feature is missing are a learned vector. `stack` is applied by `encode_all`.
    """

    def __init__(
        self,
        config: ModelConfig,
        feature: FeatureConfig,
        *,
        dtype,
        rng: Draws,
    ):
        self.missing_value = feature.missing_value
        self.dtype = dtype
        self.project = Linear(feature.dim, config.dim, dtype=dtype, bias=True, rng=rng)
        self.missing = normal(rng, (config.dim,), scale=0.02)
        self.stack = Stack(
            config, config.dim, config.feature_blocks, dtype=dtype, rng=rng
        )

    def __call__(
        self,
        x: Float[Array, "B Tn F"],
        valid: Bool[Array, "B Tn"],
        positions: Float[Array, "B T"],
        center: Float[Array, "F"],
        inverse_scale: Float[Array, "F"],
    ) -> tuple[Float[Array, "B T C"], Bool[Array, "B T"]]:
        x, valid = standardize(x, valid, center, inverse_scale, self.missing_value)
        x, valid = interpolate(self.project(x.astype(self.dtype)), valid, positions)
        missing = self.missing[...].astype(x.dtype)[None, None]
        return jnp.where(valid[..., None], x, missing), valid


def encode_all(
    stacks: list[Stack],
    x: list[Float[Array, "B T C"]],
    key: Array | None,
    *,
    one_by_one: bool,
) -> list[Float[Array, "B T C"]]:
    """Applies to each sequence its own stack; all stacks are alike but for parameters.

    Compiled once instead of once per feature. `one_by_one` keeps the memory of a
    single feature, else all of them are one batch.
    """
    apply, params = stack_modules(stacks)
    keys = None if key is None else jax.random.split(key, len(stacks))
    inputs = (params, jnp.stack(x), keys)
    if one_by_one:
        return list(jax.lax.map(lambda args: apply(*args), inputs))
    return list(jax.vmap(apply)(*inputs))


class DAMamba(nnx.Module):
    """The whole model; see the module's docstring for the order of its stages.

    Args:
      config: architecture.
      features: the streams of a batch, in the order of their concatenation.
      frame_hz: frames per second inside the model.
      rng: draws the parameters.
    """

    def __init__(
        self,
        config: ModelConfig,
        features: tuple[FeatureConfig, ...],
        *,
        frame_hz: float,
        rng: Draws,
    ):
        dtype = jnp.dtype(config.compute_dtype)
        self.config, self.frame_hz = config, frame_hz
        self.groups = nnx.static(_group(features))
        self.encoders = nnx.Dict(
            {f.name: FeatureEncoder(config, f, dtype=dtype, rng=rng) for f in features}
        )
        blocks = {"audio": config.audio_blocks}
        self.stacks = nnx.Dict(
            {
                group: ModalityGroup(
                    config,
                    len(names),
                    blocks.get(group, config.visual_blocks),
                    dtype=dtype,
                    rng=rng,
                )
                for group, names in self.groups.items()
            }
        )
        self.fusion = ModalityFusion(config, list(self.groups), dtype=dtype, rng=rng)
        self.align = nnx.Dict(
            {
                group: Linear(config.dim, ALIGNMENT_DIM, dtype=dtype, rng=rng)
                for group in self.groups
            }
        )
        self.partners = (
            PartnerFusion(config, dtype=dtype, rng=rng)
            if config.partner_fusion
            else None
        )
        self.dialogue = DialogueEncoder(config, dtype=dtype, rng=rng)
        width = self.dialogue.out_dim
        self.head_in = Linear(width, width, dtype=dtype, bias=True, rng=rng)
        self.head_out = Linear(width, 1, dtype=jnp.float32, bias=True, rng=rng)

    def __call__(
        self,
        batch: dict[str, Any],
        statistics: Mapping[str, Any],
        *,
        num_frames: int,
        key: Array | None = None,
    ) -> Output:
        """Estimates the target's engagement.

        Args:
          batch: of `data/batches.py`; its module docstring lists keys and shapes.
          statistics: per feature `(center, inverse_scale)`, each [dim].
          num_frames: frames of the window; rounded up to whole attention chunks, in
            which the last row of a feature repeats.
          key: of dropout; None outside training.
        """
        batch, statistics = jax.tree.map(jnp.asarray, (batch, dict(statistics)))
        chunk = self.config.chunk_frames
        num_frames = -(-num_frames // chunk) * chunk
        keys = split_key(key, 3)
        people = batch["participant_valid"].shape[1] if self.partners else 1
        person, embeddings, group_valid = self._encode(
            batch, statistics, num_frames, people, keys[0]
        )
        context = context_valid = None
        if people > 1:
            context_valid = batch["participant_valid"][:, 1:]
            context = self.partners(
                person[:, 1:], context_valid, batch["participant_slot"][:, 1:], keys[1]
            )
        hidden = self.dialogue(person[:, 0], context, context_valid, keys[2])
        # Labels keep their own rate: the head is read at their times.
        at_labels, _ = interpolate(
            hidden,
            jnp.ones(hidden.shape[:2], bool),
            batch["label_time"] * jnp.float32(self.frame_hz),
        )
        logit = self.head_out(jax.nn.gelu(self.head_in(at_labels)).astype(jnp.float32))
        return Output(jax.nn.sigmoid(logit[..., 0]), embeddings, group_valid)

    def _encode(self, batch, statistics, num_frames, people, key):
        """Encodes every person; returns [B, P, T, C] and the target's group views."""
        key_features, *keys = split_key(key, 1 + len(self.groups))
        batch_size = batch["participant_valid"].shape[0]

        def flatten(x):
            return x[:, :people].reshape(batch_size * people, *x.shape[2:])

        def target(x):
            return x.reshape(batch_size, people, *x.shape[1:])[:, 0]

        time = jnp.arange(num_frames, dtype=jnp.float32) / jnp.float32(self.frame_hz)
        projected, valid = [], {}
        for name, encoder in self.encoders.items():
            first = flatten(batch["first_time"][name])
            rate = flatten(batch["rate"][name])
            x, valid[name] = encoder(
                flatten(batch["features"][name]),
                flatten(batch["feature_valid"][name]),
                (time[None] - first[:, None]) * rate[:, None],
                *statistics[name],
            )
            projected.append(x)
        stacks = [encoder.stack for encoder in self.encoders.values()]
        sequences = encode_all(
            stacks, projected, key_features, one_by_one=self.config.remat
        )
        encoded = dict(zip(self.encoders, sequences, strict=True))
        groups, alignment, group_valid = {}, {}, {}
        for (group, names), group_key in zip(self.groups.items(), keys, strict=True):
            groups[group] = self.stacks[group]([encoded[n] for n in names], group_key)
            alignment[group] = self.align[group](target(groups[group])).astype(
                jnp.float32
            )
            group_valid[group] = target(
                jnp.any(jnp.stack([valid[n] for n in names]), axis=0)
            )
        person = self.fusion(groups)
        return (
            person.reshape(batch_size, people, *person.shape[1:]),
            alignment,
            group_valid,
        )


def _group(features: tuple[FeatureConfig, ...]) -> dict[str, tuple[str, ...]]:
    """Names of the features of each modality group, in order of appearance."""
    groups: dict[str, tuple[str, ...]] = {}
    for feature in features:
        groups[feature.group] = (*groups.get(feature.group, ()), feature.name)
    return groups
