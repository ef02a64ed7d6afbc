"""Batches of windows: names, shapes, types and meaning of their arrays.

A batch is a dict of arrays, or of dicts with an array for each feature. The loader
fills batches and models read them. Benchmarks and exports make batches of noise, or of
shapes only. All of them take names, shapes and types from this module.

A batch may ask for a score of every person in its windows. Its arrays of labels then
have the shape [B, P, Tl]. The scores have the shape [B P, Tl], where the people of a
window follow each other.

The letters of the axes are `B` for windows, `P` for participants (the target first),
`Tn` for rows of a feature at its native rate, and `Tl` for frames of the annotation.
"""

import dataclasses
import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int

from damamba_jax.config.sections import DataConfig
from damamba_jax.config.window import WindowConfig

Batch = dict[str, Any]


class ArraySchema(NamedTuple):
    """One array of a batch.

    Attributes:
      axes: the letters of the axes, or numbers for axes of fixed length.
      dtype: the type of the entries.
      per_feature: whether there is one array for each feature.
      meaning: the meaning of the entries.
    """

    axes: tuple[str | int, ...]
    dtype: type
    per_feature: bool
    meaning: str


BATCH = {
    "features": ArraySchema(
        ("B", "P", "Tn", "dim"), np.float32, True, "raw values; 0 where not valid"
    ),
    "feature_valid": ArraySchema(
        ("B", "P", "Tn"), np.bool_, True, "False: gap, missing file or absent person"
    ),
    "first_time": ArraySchema(
        ("B", "P"), np.float32, True, "seconds from the window's start to row 0"
    ),
    "rate": ArraySchema(("B", "P"), np.float32, True, "Hz"),
    "session_statistics": ArraySchema(
        ("B", "P", 2, "dim"),
        np.float32,
        True,
        "centre and spread over the whole recording, NaN where unknown; only with "
        '`data.normalization="session"`',
    ),
    "participant_valid": ArraySchema(
        ("B", "P"), np.bool_, False, "False: there is no such person"
    ),
    "participant_slot": ArraySchema(
        ("B", "P"), np.int32, False, "0 for the target, 1 and up for partners"
    ),
    "label": ArraySchema(
        ("B", "Tl"),
        np.float32,
        False,
        "the annotation, or the number of its class; 0 where not valid",
    ),
    "label_weight": ArraySchema(
        ("B", "Tl"),
        np.float32,
        False,
        "how rare the class of the label is: `n / (K n_k)` over all sessions of the "
        "loader; only with `data.classes`",
    ),
    "label_valid": ArraySchema(
        ("B", "Tl"), np.bool_, False, "rated, and inside the window and the session"
    ),
    "label_time": ArraySchema(
        ("B", "Tl"), np.float32, False, "seconds from the window's start"
    ),
    "label_core": ArraySchema(("B", "Tl"), np.bool_, False, "inside the scored core"),
}


def native_frames(window: WindowConfig, rate: float) -> int:
    """Returns how many rows of a feature a window needs, with one more on each side."""
    # Without the small number, rounding of a whole product could add a row.
    return math.ceil(window.window_seconds * rate - 1e-6) + 2


def label_frames(window: WindowConfig, label_rate: float) -> int:
    """Returns the most label frames that a window can hold, computed exactly."""
    # Rates such as 30000/1001 and decimal numbers become the fractions that they mean.
    rate, frame_hz = (
        Fraction(hz).limit_denominator(10**5) for hz in (label_rate, window.frame_hz)
    )
    return math.ceil(window.window_frames * rate / frame_hz)


@dataclasses.dataclass(frozen=True, kw_only=True)
class BatchShape:
    """Sizes of the axes of one batch.

    Args:
      windows, participants, labels: the sizes `B`, `P` and `Tl`.
      rows, dims: the sizes `Tn` and `dim` of each feature.
      session_statistics: whether the batch has the array `session_statistics`.
      num_classes: the number of classes of the annotations; 0 if they are values.
    """

    windows: int
    participants: int
    labels: int
    rows: Mapping[str, int]
    dims: Mapping[str, int]
    session_statistics: bool = False
    num_classes: int = 0

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the arrays that the batch has."""
        there = {
            "session_statistics": self.session_statistics,
            "label_weight": bool(self.num_classes),
        }
        return tuple(name for name in BATCH if there.get(name, True))

    def of(self, name: str, feature: str = "") -> tuple[int, ...]:
        """Returns the shape of one array.

        Args:
          name: the name of the array.
          feature: the name of the feature, if there is one array for each feature.
        """
        sizes: dict[str | int, int] = {
            "B": self.windows,
            "P": self.participants,
            "Tl": self.labels,
        }
        if feature:
            sizes |= {"Tn": self.rows[feature], "dim": self.dims[feature]}
        return tuple(int(sizes.get(axis, axis)) for axis in BATCH[name].axes)


def batch_shape(
    data: DataConfig, *, batch_size: int, label_rate: float = 25.0
) -> BatchShape:
    """Returns the sizes of a configuration's batches, with features at their own rates.

    Args:
      data: features, participants, window and normalization.
      batch_size: the number of windows of a batch.
      label_rate: the rate of the annotation, in Hz.
    """
    return BatchShape(
        windows=batch_size,
        participants=data.participants,
        labels=label_frames(data.window, label_rate),
        rows={f.name: native_frames(data.window, f.rate) for f in data.features},
        dims={f.name: f.dim for f in data.features},
        session_statistics=data.normalization == "session",
        num_classes=len(data.classes),
    )


def target_orders(people: int) -> Int[np.ndarray, "P P"]:
    """Returns the order of people for each target: the target, then all others.

    A batch that asks for a score of each person, whose labels are `[B, P, Tl]`, is
    read as if each window came once for each of these orders.
    """
    orders = [[p, *(q for q in range(people) if q != p)] for p in range(people)]
    return np.array(orders)


def abstract_batch(shape: BatchShape) -> Batch:
    """Makes a batch of shapes and types without arrays, for compilation."""
    # JAX is imported late, because code that only reads data does not need it.
    import jax

    def struct(name: str, feature: str = "") -> Any:
        return jax.ShapeDtypeStruct(shape.of(name, feature), BATCH[name].dtype)

    return {
        name: {feature: struct(name, feature) for feature in shape.dims}
        if BATCH[name].per_feature
        else struct(name)
        for name in shape.names
    }


def random_batch(
    data: DataConfig, *, batch_size: int, seed: int, label_rate: float = 25.0
) -> Batch:
    """Makes a batch of noise, in which everything is present and valid.

    Args:
      data: features, participants, window and normalization.
      batch_size: the number of windows of the batch.
      seed: the seed of the noise.
      label_rate: the rate of the annotation, in Hz.
    """
    rng = np.random.default_rng(seed)
    shape = batch_shape(data, batch_size=batch_size, label_rate=label_rate)
    window = data.window

    def each(name: str, make: Any) -> dict[str, np.ndarray]:
        made = {f: make(shape.of(name, f)) for f in shape.dims}
        return {f: np.asarray(v, BATCH[name].dtype) for f, v in made.items()}

    rates = {f.name: f.rate for f in data.features}
    time = np.arange(shape.labels, dtype=np.float32) / np.float32(label_rate)
    core = time * window.frame_hz - window.past_frames
    core = (core >= -1e-3) & (core < window.core_frames - 1e-3)
    slots = np.arange(shape.participants, dtype=np.int32)
    batch = {
        "features": each("features", lambda sizes: rng.normal(size=sizes)),
        "feature_valid": each("feature_valid", np.ones),
        "first_time": each("first_time", np.zeros),
        "rate": {
            f: np.full(shape.of("rate", f), hz, np.float32) for f, hz in rates.items()
        },
        "participant_valid": np.ones(shape.of("participant_valid"), bool),
        "participant_slot": np.tile(slots, (batch_size, 1)),
        "label": rng.uniform(size=shape.of("label")).astype(np.float32),
        "label_valid": np.ones(shape.of("label_valid"), bool),
        "label_time": np.tile(time, (batch_size, 1)),
        "label_core": np.tile(core, (batch_size, 1)),
    }
    if shape.num_classes:
        number = rng.integers(shape.num_classes, size=shape.of("label"))
        batch["label"] = number.astype(np.float32)
        batch["label_weight"] = np.ones(shape.of("label_weight"), np.float32)
    if shape.session_statistics:
        # The noise has centre 0 and spread 1.
        unit = np.array([[0.0], [1.0]], np.float32)
        batch["session_statistics"] = each(
            "session_statistics", lambda sizes: np.broadcast_to(unit, sizes).copy()
        )
    return batch
