"""Saves and restores the state of a run. The thread that stops a run uses it too."""

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax

from damamba_jax.models.flat_params import FlatParams
from damamba_jax.runs.checkpoints import Checkpoints
from damamba_jax.runs.workdir import BEST, LAST
from damamba_jax.schema.statistics import FeatureStatistics, to_arrays
from damamba_jax.training.state import TrainState


def model_item(
    average: FlatParams, statistics: Mapping[str, FeatureStatistics]
) -> dict[str, Any]:
    """Makes the item `model` of a checkpoint. Parameters are saved as trees."""
    return {"average": average.to_tree(), "statistics": to_arrays(statistics)}


def training_item(state: TrainState) -> dict[str, Any]:
    """Makes the item `training` of a checkpoint: the state without the average."""
    training = state._asdict()
    del training["average"]
    training["params"] = state.params.to_tree()
    # The leaves get names of their own. Orbax would name the fields of optax's states
    # by their positions.
    training["opt_state"] = dict(enumerate_leaves(training["opt_state"]))
    return training


def enumerate_leaves(tree: Any) -> list[tuple[str, Any]]:
    """Returns the leaves with zero-padded numbers as names, which sort in order."""
    return [(f"{i:05d}", leaf) for i, leaf in enumerate(jax.tree.leaves(tree))]


def restore_state(items: Mapping[str, Any], like: TrainState) -> TrainState:
    """Makes a state from `model_item` and `training_item`, on the devices of `like`."""
    training = dict(items["training"])
    trees = {"params": training.pop("params"), "average": items["model"]["average"]}
    flat = {
        name: jax.device_put(FlatParams.from_tree(tree), like.step.sharding)
        for name, tree in jax.device_get(trees).items()
    }
    leaves = [leaf for _, leaf in sorted(training.pop("opt_state").items())]
    opt_state = jax.tree.unflatten(jax.tree.structure(like.opt_state), leaves)
    return TrainState(opt_state=opt_state, **flat, **training)


class Saver:
    """The checkpoints of one workdir. `runs/checkpoints.py` says what they hold.

    Args:
      directory: the workdir.
      statistics: the statistics of the features, which are saved with the parameters.
      simulated: whether the corpus is simulated, which every checkpoint tells.
      keep: how many of the newest checkpoints are kept.
    """

    def __init__(
        self, directory: Path, *, statistics: Mapping, simulated: bool, keep: int
    ) -> None:
        self._last = Checkpoints(directory / LAST, keep=keep)
        self._best = Checkpoints(directory / BEST, keep=1)
        self._statistics, self._simulated = dict(statistics), simulated
        self._held: tuple[int, dict[str, Any]] | None = None
        self._saving = threading.Lock()

    def restore(self, state: TrainState) -> tuple[TrainState, Mapping | None]:
        """Returns the newest intact state and its statistics, or `state` and None.

        Args:
          state: the state before the first step. It gives shapes, dtypes and devices.
        """
        abstract = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(
                x.shape, x.dtype, sharding=state.step.sharding
            ),
            jax.eval_shape(self._items, state),
        )
        found = self._last.restore_newest(abstract)
        statistics = None
        if found is not None:
            items, _ = found
            state = restore_state(items, state)
            statistics = items["model"]["statistics"]
        # The run will take the steps after this one again, so the best checkpoints of
        # those steps are deleted.
        self._best.drop_after(int(state.step))
        return state, statistics

    def hold(self, state: TrainState) -> None:
        """Copies the state to the host, for `save_held`."""
        self._held = int(state.step), self._items(jax.device_get(state))

    def save_held(self) -> None:
        """Saves the state last held, unless that step or a later one is on disk."""
        with self._saving:
            if self._held is not None:
                step, items = self._held
                if step > max(self._last.steps(), default=-1):
                    self._write(step, items)

    def save(self, state: TrainState) -> None:
        """Saves a state for resuming."""
        with self._saving:
            self._write(int(state.step), self._items(jax.device_get(state)))

    def save_best(self, state: TrainState, scores: Mapping[str, float]) -> None:
        """Saves the averaged parameters as the best ones so far."""
        step = int(state.step)
        self._best.save(
            step,
            model=model_item(jax.device_get(state.average), self._statistics),
            meta={**self._meta(step), **scores},
        )

    def close(self) -> None:
        """Releases both folders of checkpoints."""
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
