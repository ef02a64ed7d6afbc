"""A small model's configuration and random batches for it."""

import dataclasses

import numpy as np

from damamba_jax.config.sections import Config, FeatureConfig
from damamba_jax.config.tree import from_config_dict
from damamba_jax.configs import baseline, dat, noxi
from damamba_jax.schema import batch
from damamba_jax.training import step as train_step
from damamba_jax.training.objective import Objective, make_objective

PAPER = from_config_dict(noxi.get_config())
TINY = from_config_dict(noxi.get_config("tiny"))

FEATURES = (
    FeatureConfig(name="egemaps", dim=5, group="audio", rate=25.0, stems=("ege",)),
    FeatureConfig(name="w2v", dim=4, group="audio", rate=25.0, stems=("w2v",)),
    FeatureConfig(
        name="openpose",
        dim=3,
        group="visual",
        rate=25.0,
        stems=("pose",),
        missing_value=-1.0,
    ),
)


def small_config(*, participants=2, features=FEATURES, **model) -> Config:
    """The tiny model with a block in each place; keywords override its architecture.

    Its scan compiles fastest. The tiny model itself has the machine's own.
    """
    fields = {
        "feature_blocks": 1,
        "audio_blocks": 1,
        "context_blocks": 1,
        "dialogue_blocks": 1,
        "chunk_frames": 8,
        "direction": "bidirectional",
        "dropout": 0.0,
        "scan": "reference",
    }
    window = dataclasses.replace(
        TINY.data.window, past_frames=8, core_frames=8, future_frames=8, stride_frames=8
    )
    return dataclasses.replace(
        TINY,
        name="small",
        data=dataclasses.replace(
            TINY.data, features=features, participants=participants, window=window
        ),
        model=dataclasses.replace(TINY.model, **{**fields, **model}),
        optim=dataclasses.replace(PAPER.optim, warmup_steps=2, lr=1e-3),
        train=dataclasses.replace(TINY.train, steps=10),
    )


def random_batch(config: Config, *, size=4, seed=0) -> dict:
    """A batch of noise, complete and everywhere valid."""
    return batch.random_batch(config.data, batch_size=size, seed=seed)


def unit_statistics(config: Config) -> dict:
    """Statistics that leave features as they are."""
    return {
        f.name: (np.zeros(f.dim, np.float32), np.ones(f.dim, np.float32))
        for f in config.data.features
    }


def replace_model(config: Config, **model) -> Config:
    return dataclasses.replace(config, model=dataclasses.replace(config.model, **model))


def small_system(system: str, *, participants=0, features=FEATURES, **model) -> Config:
    """A small `"dat"` or `"baseline"`; keywords override its architecture."""
    file, people, fields = {
        "dat": (
            dat, 3, {
                "dim": 6, "num_heads": 2, "feature_head_dim": 4, "group_head_dim": 5,
                "feature_ffn_dim": 7, "group_ffn_dim": 9,
            },
        ),
        "baseline": (baseline, 1, {"hidden_dims": (8, 7, 6)}),
    }[system]  # fmt: skip
    base = from_config_dict(file.get_config("small"))
    plain = small_config(features=features)
    return dataclasses.replace(
        plain,
        data=dataclasses.replace(plain.data, participants=participants or people),
        model=dataclasses.replace(base.model, **{**fields, **model}),
        optim=dataclasses.replace(plain.optim, infonce_weight=0.0),
    )


def objective_of(config: Config) -> Objective:
    """What training with this configuration minimises."""
    return make_objective(config.data, config.model, config.optim)


def train_step_of(config: Config, graphdef, optimizer):
    """A step of training with this configuration, not jitted."""
    return train_step.make_train_step(
        graphdef,
        optimizer,
        objective=objective_of(config),
        num_steps=config.train.steps,
        is_random=config.model.is_random,
    )
