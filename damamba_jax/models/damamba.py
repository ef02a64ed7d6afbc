"""DA-Mamba: the dialogue-aware state-space model (arXiv 2509.17711).

    features (native rate) -> standardise -> project -> interpolate   per feature
      -> hybrid blocks                                                per feature
      -> group stacks (audio 2d, visual 3d wide) -> cross-attention   per person
      -> context stack over the partners -> target attends -> hybrid blocks -> score

Weights are shared between participants.
"""

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from damamba_jax.array_types import Array
from damamba_jax.config.sections import DataConfig, FeatureConfig
from damamba_jax.config.systems import DAMambaConfig
from damamba_jax.models.answer import Answer
from damamba_jax.models.blocks import Stack, encode_all
from damamba_jax.models.fusion import (
    DialogueEncoder,
    ModalityFusion,
    ModalityGroup,
    PartnerFusion,
)
from damamba_jax.models.inputs import (
    Batch,
    FeatureInput,
    Output,
    Statistics,
    System,
    at_labels,
    group_names,
)
from damamba_jax.models.layers import Draws, Linear, split_key
from damamba_jax.models.modality_dropout import drop_modalities
from damamba_jax.schema.batch import target_orders

# Width of the embeddings by which the modality groups of a person are compared.
ALIGNMENT_DIM = 128
# This number makes the draws of modality dropout independent of those of dropout.
_MODALITIES = 1


class FeatureEncoder(FeatureInput):
    """Input and stack of one feature. `encode_all` applies the stack."""

    def __init__(
        self,
        config: DAMambaConfig,
        feature: FeatureConfig,
        *,
        dtype: DTypeLike,
        rng: Draws,
    ) -> None:
        super().__init__(feature, config.dim, dtype=dtype, rng=rng)
        self.stack = Stack(
            config, config.dim, config.feature_blocks, dtype=dtype, rng=rng
        )


class DAMamba(System):
    """The whole model. The module's docstring gives the order of its stages.

    Args:
      config: the architecture of the model.
      data: features, frame rate, window and normalization of the batches.
      rng: the generator that draws the parameters.
    """

    def __init__(self, config: DAMambaConfig, data: DataConfig, *, rng: Draws) -> None:
        super().__init__(data)
        dtype = jnp.dtype(config.compute_dtype)
        self.config, features = config, data.features
        self.groups = nnx.static(group_names(features))
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
        self.answer = Answer(data)
        self.head_out = Linear(
            width, self.answer.width, dtype=jnp.float32, bias=True, rng=rng
        )

    def estimate(
        self, batch: Batch, statistics: Statistics, num_frames: int, key: Array | None
    ) -> Output:
        """Computes the answer over whole attention chunks.

        The frames that fill up the last chunk repeat the last sample of each feature,
        or are missing if the window hides the future.
        """
        config = self.config
        if key is not None and (config.modality_dropout or config.feature_dropout):
            batch["feature_valid"] = drop_modalities(
                batch["feature_valid"],
                self.groups,
                jax.random.fold_in(key, _MODALITIES),
                group_rate=config.modality_dropout,
                feature_rate=config.feature_dropout,
            )
        chunk = self.config.chunk_frames
        num_frames = -(-num_frames // chunk) * chunk
        keys = split_key(key, 3)
        # If the batch asks for a score of each person, every person is the target once,
        # but is encoded only once.
        everybody = batch["label_time"].ndim == 3
        shown = self.partners is not None or everybody
        people = batch["participant_valid"].shape[1] if shown else 1
        person, embeddings, group_valid = self._encode(
            batch, statistics, num_frames, people, keys[0]
        )
        views = person.shape[0] // batch["participant_valid"].shape[0]
        valid, slots, label_time = (
            jnp.concatenate([batch[name]] * views)
            for name in ("participant_valid", "participant_slot", "label_time")
        )
        if everybody:
            orders = target_orders(people)
            person, valid = (
                x[:, orders].reshape(-1, *x.shape[1:]) for x in (person, valid)
            )
            slots = jnp.repeat(slots, people, axis=0)
            label_time = label_time.reshape(-1, label_time.shape[-1])
        context = context_valid = None
        if self.partners is not None and people > 1:
            context_valid = valid[:, 1:]
            context = self.partners(person[:, 1:], context_valid, slots[:, 1:], keys[1])
        hidden = self.dialogue(person[:, 0], context, context_valid, keys[2])
        hidden = at_labels(hidden, label_time, frame_hz=self.frame_hz)
        logit = self.head_out(jax.nn.gelu(self.head_in(hidden)).astype(jnp.float32))
        logits = logit.reshape(views, -1, *logit.shape[1:])
        return Output(
            self.answer(self.fusion.mix(logits)),
            embeddings,
            group_valid,
            self.answer(logits) if views > 1 else None,
        )

    def _encode(self, batch, statistics, num_frames, people, key):
        """Encodes every person.

        Returns:
          The encoded people, [V B, P, T, C]: for each view of `ModalityFusion` a whole
          batch, one after the other. Then the target's embedding of each group, and the
          frames at which it is valid.
        """
        key_features, *keys = split_key(key, 1 + len(self.groups))
        batch_size = batch["participant_valid"].shape[0]

        def target(x):
            return x.reshape(batch_size, people, *x.shape[1:])[:, 0]

        projected, valid = self.read_people(
            self.encoders,
            batch,
            statistics,
            first=0,
            last=people,
            num_frames=num_frames,
        )
        stacks = [encoder.stack for encoder in self.encoders.values()]
        sequences = encode_all(
            stacks,
            list(projected.values()),
            key_features,
            one_by_one=self.config.remat,
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
        person = jnp.concatenate(self.fusion(groups))
        return (
            person.reshape(-1, people, *person.shape[1:]),
            alignment,
            group_valid,
        )
