"""Batches of noise in the shapes of `schema/batch.py`, without a corpus."""

import math
from typing import Any

import jax
import numpy as np

from damamba_jax.config.sections import Config
from damamba_jax.data.batches.timeline import first_label

# What noise cannot stand for in a batch.
MADE_OTHERWISE = ("first_time", "rate", "session_statistics", "participant_slot")


def abstract_batch(config: Config) -> dict[str, Any]:
    """Shapes and types of a batch, as `schema/batch.py` builds it."""
    rows, people = config.train.batch_size, config.data.participants
    seconds = config.data.window.window_seconds
    labels = int(
        first_label(
            config.data.window.window_frames,
            frame_hz=config.data.window.frame_hz,
            label_rate=_label_rate(config),
        )
    )

    def array(dtype, *shape):
        return jax.ShapeDtypeStruct(shape, dtype)

    def each(make):
        # The slack keeps a rounded product of whole numbers from adding a row.
        return {
            feature.name: make(feature, math.ceil(seconds * feature.rate - 1e-6) + 2)
            for feature in config.data.features
        }

    batch = {
        "features": each(lambda f, n: array(np.float32, rows, people, n, f.dim)),
        "feature_valid": each(lambda f, n: array(np.bool_, rows, people, n)),
        "first_time": each(lambda f, n: array(np.float32, rows, people)),
        "rate": each(lambda f, n: array(np.float32, rows, people)),
        "participant_valid": array(np.bool_, rows, people),
        "participant_slot": array(np.int32, rows, people),
        "label": array(np.float32, rows, labels),
        "label_valid": array(np.bool_, rows, labels),
        "label_time": array(np.float32, rows, labels),
        "label_core": array(np.bool_, rows, labels),
    }
    if config.data.normalization == "session":
        batch["session_statistics"] = each(
            lambda f, n: array(np.float32, rows, people, 2, f.dim)
        )
    return batch


def random_batch(config: Config, *, seed: int) -> dict[str, Any]:
    """A batch of that shape: noise, complete and everywhere valid."""
    rng = np.random.default_rng(seed)
    shapes, window = abstract_batch(config), config.data.window

    def noise(x):
        if x.dtype == np.bool_:
            return np.ones(x.shape, x.dtype)
        return rng.standard_normal(x.shape, np.float32)

    batch = {
        name: jax.tree.map(noise, tree)
        for name, tree in shapes.items()
        if name not in MADE_OTHERWISE
    }
    batch["first_time"] = jax.tree.map(
        lambda x: np.zeros(x.shape, x.dtype), shapes["first_time"]
    )
    batch["rate"] = {
        f.name: np.full(shapes["rate"][f.name].shape, f.rate, np.float32)
        for f in config.data.features
    }
    if "session_statistics" in shapes:
        # Centre 0 and spread 1, which the noise has.
        unit = np.float32([[0.0], [1.0]])
        batch["session_statistics"] = jax.tree.map(
            lambda x: np.broadcast_to(unit, x.shape).copy(),
            shapes["session_statistics"],
        )
    slots = shapes["participant_slot"]
    batch["participant_slot"] = np.tile(np.arange(slots.shape[1], dtype=np.int32),
                                        (slots.shape[0], 1))  # fmt: skip
    rows, labels = batch["label"].shape
    time = np.arange(labels, dtype=np.float32) / np.float32(_label_rate(config))
    core = time * window.frame_hz - window.context_frames
    batch["label"] = rng.uniform(size=(rows, labels)).astype(np.float32)
    batch["label_time"] = np.tile(time, (rows, 1))
    batch["label_core"] = np.tile((core >= 0) & (core < window.core_frames), (rows, 1))
    return batch


def _label_rate(config: Config) -> float:
    return config.data.layout.label_rate if config.data.layout else 25.0
