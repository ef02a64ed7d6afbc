"""A small model's configuration and random batches for it."""

import dataclasses

import numpy as np

from damamba_jax.config.sections import (
    Config,
    DataConfig,
    FeatureConfig,
    OptimConfig,
    TrainConfig,
    WindowConfig,
)
from damamba_jax.config.systems import BaselineConfig, DATConfig, ModelConfig

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
    """A model that compiles in seconds; keywords override `ModelConfig`."""
    fields = {
        "dim": 8,
        "feature_blocks": 1,
        "audio_blocks": 1,
        "visual_blocks": 1,
        "context_blocks": 1,
        "dialogue_blocks": 1,
        "state_dim": 4,
        "chunk_frames": 8,
        "num_heads": 2,
        "dropout": 0.0,
        "remat": False,
    }
    return Config(
        name="small",
        data=DataConfig(
            features=features,
            participants=participants,
            window=WindowConfig(
                frame_hz=25.0, window_frames=24, core_frames=8, stride_frames=8
            ),
        ),
        model=ModelConfig(**{**fields, **model}),
        optim=OptimConfig(warmup_steps=2, lr=1e-3),
        train=TrainConfig(steps=10, batch_size=4),
    )


def random_batch(config: Config, *, size=4, seed=0) -> dict:
    """A batch as `schema/batch.py` describes it, filled with noise."""
    rng = np.random.default_rng(seed)
    people, window = config.data.participants, config.data.window
    rows = int(np.ceil(window.window_seconds * 25)) + 2
    labels = int(window.window_seconds * 25)
    time = np.arange(labels, dtype=np.float32) / 25
    core_start = window.context_frames / window.frame_hz
    core_end = core_start + window.core_frames / window.frame_hz
    core = (time >= core_start - 1e-6) & (time < core_end - 1e-6)

    def per_feature(make):
        return {f.name: make(f) for f in config.data.features}

    shape = (size, people)
    return {
        "features": per_feature(
            lambda f: rng.normal(size=(*shape, rows, f.dim)).astype(np.float32)
        ),
        "feature_valid": per_feature(lambda f: np.ones((*shape, rows), bool)),
        "first_time": per_feature(lambda f: np.zeros(shape, np.float32)),
        "rate": per_feature(lambda f: np.full(shape, 25, np.float32)),
        "participant_valid": np.ones(shape, bool),
        "participant_slot": np.tile(np.arange(people, dtype=np.int32), (size, 1)),
        "label": rng.uniform(size=(size, labels)).astype(np.float32),
        "label_valid": np.ones((size, labels), bool),
        "label_time": np.tile(time, (size, 1)),
        "label_core": np.tile(core, (size, 1)),
    }


def unit_statistics(config: Config) -> dict:
    """Statistics that leave features as they are."""
    return {
        f.name: (np.zeros(f.dim, np.float32), np.ones(f.dim, np.float32))
        for f in config.data.features
    }


def replace_model(config: Config, **model) -> Config:
    return dataclasses.replace(config, model=dataclasses.replace(config.model, **model))


def small_system(system: str, *, participants=0, features=FEATURES, **model) -> Config:
    """A small `"dat"` or `"baseline"`; keywords override `ModelConfig`."""
    fields = {
        "dat": DATConfig(
            dim=6, num_heads=2, feature_head_dim=4, group_head_dim=5,
            feature_ffn_dim=7, group_ffn_dim=9,
        ),
        "baseline": BaselineConfig(hidden_dims=(8, 7, 6)),
    }  # fmt: skip
    plain = small_config(
        participants=participants or {"dat": 3, "baseline": 1}[system],
        features=features,
    )
    return dataclasses.replace(
        plain,
        model=ModelConfig(
            **{"system": system, "dropout": 0.0, "remat": False, **fields, **model}
        ),
        optim=dataclasses.replace(plain.optim, infonce_weight=0.0),
    )
