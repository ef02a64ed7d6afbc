"""Saves and restores the state of a run, also from the thread that stops it."""

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax

from damamba_jax.checkpoint import (
    Checkpoints,
    model_item,
    restore_state,
    training_item,
)
from damamba_jax.train_state import TrainState


class Saver:
    """The checkpoints of one workdir; see `checkpoint.py` for what they hold.

    Args:
      directory: the workdir.
      statistics: of the features, saved beside the parameters.
      simulated: marked in every checkpoint.
      keep: newest checkpoints kept.
    """

    def __init__(
        self, directory: Path, *, statistics: Mapping, simulated: bool, keep: int
    ):
        folder = directory / "checkpoints"
        self._last = Checkpoints(folder / "last", keep=keep)
        self._best = Checkpoints(folder / "best", keep=1)
        self._statistics, self._simulated = dict(statistics), simulated
        self._published: tuple[int, dict[str, Any]] | None = None
        self._saving = threading.Lock()

    def restore(self, state: TrainState) -> tuple[TrainState, Mapping | None]:
        """Returns the newest intact state and its statistics, or `state` and None.

        Args:
          state: before the first step; gives shapes, dtypes and devices.
        """
        abstract = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(
                x.shape, x.dtype, sharding=state.step.sharding
            ),
            jax.eval_shape(self._items, state),
        )
        found = self._last.restore_newest(abstract)
        if found is not None:
            items, _ = found
            state = restore_state(items, state)
        # The run will pass them again; nothing of an abandoned future may stand.
        self._best.drop_after(int(state.step))
        return state, items["model"]["statistics"] if found is not None else None

    def publish(self, state: TrainState) -> None:
        """Copies the state to the host, for `save_published`."""
        self._published = int(state.step), self._items(jax.device_get(state))

    def save_published(self) -> None:
        """Saves what was last published, unless that or a later step is on disk."""
        with self._saving:
            if self._published is not None:
                step, items = self._published
                if step > max(self._last.steps(), default=-1):
                    self._write(step, items)

    def save(self, state: TrainState) -> None:
        """Saves a state for resuming."""
        with self._saving:
            self._write(int(state.step), self._items(jax.device_get(state)))

    def save_best(self, state: TrainState, val_ccc: float) -> None:
        """Saves the averaged parameters as the best ones so far."""
        step = int(state.step)
        self._best.save(
            step,
            model=model_item(jax.device_get(state.average), self._statistics),
            meta={**self._meta(step), "val_ccc": val_ccc},
        )

    def close(self) -> None:
        self._last.close()
        self._best.close()

    def _items(self, state: TrainState) -> dict[str, Any]:
        return {
            "model": model_item(state.average, self._statistics),
            "training": training_item(state),
        }

    def _write(self, step: int, items: dict[str, Any]) -> None:
        self._last.save(step, **items, meta=self._meta(step))

    def _meta(self, step: int) -> dict[str, Any]:
        return {"step": step, "simulated": self._simulated}
