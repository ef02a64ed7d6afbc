"""Checkpoints: saved through Orbax, verified when read, exact on resume.

A workdir holds `checkpoints/last/STEP` (everything a run needs to go on) and
`checkpoints/best/STEP` (the averaged parameters with the best validation score). Each
consists of the items `model` (averaged parameters, feature statistics), `training` (the
rest of the state; absent in `best`) and `meta`, which holds a digest of all arrays:
Orbax itself notices neither a flipped bit nor a half-damaged newest step.
"""

import dataclasses
import functools
import hashlib
import json
import logging
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from flax import nnx

from damamba_jax import train_state
from damamba_jax.config import Config, ConfigError, from_json
from damamba_jax.data.statistics import FeatureStatistics, from_arrays, to_arrays
from damamba_jax.flat_params import FlatParams
from damamba_jax.models import build_model
from damamba_jax.train_state import TrainState

_log = logging.getLogger(__name__)

CONFIG_FILE = "config.json"
# A resolved configuration has a few KiB.
MAX_CONFIG_BYTES = 1 << 20


class CheckpointError(ValueError):
    """A checkpoint is absent, damaged, or belongs to another model."""


class ShapeError(CheckpointError):
    """A checkpoint holds arrays of other shapes than the model."""


@dataclasses.dataclass
class Estimator:
    """A trained model, ready to score batches.

    Attributes:
      config: of the run that trained it.
      params: the averaged parameters.
      statistics: per feature, for standardisation.
      simulated: trained on the simulated corpus.
      step: of the checkpoint.
    """

    config: Config
    params: dict[str, Any]
    statistics: Mapping[str, FeatureStatistics]
    simulated: bool
    step: int

    def __post_init__(self):
        # Neither the name nor the seed changes what is compiled.
        self._predict = _make_predict(dataclasses.replace(self.config, name="", seed=0))

    def predict(
        self, batch: Mapping[str, Any], *, num_frames: int | None = None
    ) -> jax.Array:
        """Scores a batch: float32 [B, Tl], one score in [0, 1] per label time.

        Args:
          batch: of `data/batches.py`.
          num_frames: frames of its windows; those of the configuration when None.
        """
        return self._predict(
            self.params,
            dict(batch),
            self.statistics,
            num_frames=num_frames or self.config.data.window.window_frames,
        )


@functools.lru_cache(maxsize=2)
def _make_predict(config: Config) -> Callable:
    """Models of one structure share what was compiled for the first of them."""
    return train_state.make_predict(abstract_model(config)[0])


class Checkpoints:
    """The checkpoints of one folder.

    Args:
      directory: created when needed.
      keep: newest checkpoints kept; None opens the folder for reading only, which
        leaves it untouched: a run may be writing there, or nobody may.
    """

    def __init__(self, directory: Path, *, keep: int | None):
        self.directory = Path(directory).resolve()
        self._keep = keep
        self._manager = self._open()

    def _open(self) -> ocp.CheckpointManager:
        if self._keep is None:
            # Alone, even within a run of several processes: no barriers.
            alone = ocp.options.MultiprocessingOptions(
                primary_host=None,
                active_processes={jax.process_index()},
                barrier_sync_key_prefix=f"reader{jax.process_index()}",
            )
            options = ocp.CheckpointManagerOptions(
                save_interval_steps=0,
                create=False,
                read_only=True,
                multiprocessing_options=alone,
            )
        else:
            options = ocp.CheckpointManagerOptions(
                max_to_keep=self._keep,
                cleanup_tmp_directories=True,
                enable_async_checkpointing=False,
            )
        # Named, so that shapes can be asked for before anything is restored.
        handlers = {
            "model": ocp.StandardCheckpointHandler(),
            "training": ocp.StandardCheckpointHandler(),
            "meta": ocp.JsonCheckpointHandler(),
        }
        return ocp.CheckpointManager(
            self.directory, options=options, item_handlers=handlers
        )

    def steps(self) -> list[int]:
        """Steps on disk, newest first."""
        return sorted(self._manager.all_steps(), reverse=True)

    def save(
        self,
        step: int,
        *,
        model: dict[str, Any],
        training: dict[str, Any] | None = None,
        meta: Mapping[str, Any],
    ) -> None:
        """Saves one step; a step that is already there stays as it is.

        Raises:
          CheckpointError: if Orbax did not save it.
        """
        if step in self._manager.all_steps():
            return
        trees = {"model": model} | ({"training": training} if training else {})
        items = {name: ocp.args.StandardSave(tree) for name, tree in trees.items()}
        items["meta"] = ocp.args.JsonSave({**meta, "digest": digest(trees, meta)})
        saved = self._manager.save(step, args=ocp.args.Composite(**items), force=True)
        self._manager.wait_until_finished()
        if not saved or step not in self._manager.all_steps():
            raise CheckpointError(f"{self.directory}: step {step} was not saved.")

    def restore_newest(
        self, abstract: Mapping[str, Any]
    ) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """Restores the newest intact step.

        Damaged ones are moved to `quarantine/`, or passed over when only reading.

        Args:
          abstract: trees of `ShapeDtypeStruct` by item: `model`, perhaps `training`.

        Returns:
          The trees by item and the meta data; None when no step is left.

        Raises:
          CheckpointError: if the step is of another shape, naming the first leaf.
        """
        for step in self.steps():
            try:
                return self._restore(step, abstract)
            except CheckpointError as error:
                if isinstance(error, ShapeError):
                    raise
                reason = str(error)
            except Exception as error:  # Orbax: whatever a damaged file leads to
                reason = f"{type(error).__name__}: {error}"
            reason = " ".join(reason.split())[:300]
            _log.warning("%s: step %d is damaged: %s", self.directory, step, reason)
            if self._keep is not None:
                self._quarantine(step)
        return None

    def drop_after(self, step: int) -> None:
        """Deletes later steps: a run that starts again at `step` will save them."""
        for later in self.steps():
            if later > step:
                self._manager.delete(later)

    def _restore(self, step: int, abstract: Mapping[str, Any]):
        for name, tree in abstract.items():
            self._check_shapes(step, name, tree)
        items = {
            name: ocp.args.StandardRestore(tree) for name, tree in abstract.items()
        }
        items["meta"] = ocp.args.JsonRestore()
        restored = self._manager.restore(step, args=ocp.args.Composite(**items))
        trees = {name: restored[name] for name in abstract}
        meta = dict(restored["meta"])
        expected = meta.pop("digest", None)
        for name, got in digest(trees, meta).items():
            if not isinstance(expected, Mapping) or expected.get(name) != got:
                raise CheckpointError(f"the digest of `{name}` differs.")
        return trees, meta

    def _check_shapes(self, step: int, name: str, abstract: Any) -> None:
        """Compares shapes before anything of the size they claim is allocated."""
        metadata = self._manager.item_metadata(step)[name]
        if metadata is None:
            raise CheckpointError(f"no item `{name}`.")
        stored = getattr(metadata, "tree", metadata)
        check_shapes(
            {name: stored}, {name: abstract}, source=self.directory / str(step)
        )

    def _quarantine(self, step: int) -> None:
        quarantine = self.directory / "quarantine"
        target = quarantine / str(step)
        number = 1
        while target.exists():
            target, number = quarantine / f"{step}-{number}", number + 1
        _log.warning("Step %d is moved to %s.", step, target)
        self._manager.close()
        quarantine.mkdir(exist_ok=True)
        shutil.move(self.directory / str(step), target)
        self._manager = self._open()

    def close(self) -> None:
        self._manager.close()


def digest(trees: Mapping[str, Any], meta: Mapping[str, Any]) -> dict[str, str]:
    """Hashes paths, types, shapes and bytes of all leaves, per item; and `meta`."""
    text = json.dumps(meta, sort_keys=True)
    result = {"meta": hashlib.blake2b(text.encode(), digest_size=16).hexdigest()}
    for name, tree in trees.items():
        hashed = hashlib.blake2b(digest_size=16)
        for path, leaf in sorted(_leaves(tree).items()):
            value = np.ascontiguousarray(leaf)
            hashed.update(f"{path} {value.dtype} {value.shape};".encode())
            hashed.update(value.reshape(-1).view(np.uint8).data)
        result[name] = hashed.hexdigest()
    return result


def model_item(average: FlatParams, statistics) -> dict[str, Any]:
    """Makes the item `model`; parameters are saved as trees."""
    return {"average": average.to_tree(), "statistics": to_arrays(statistics)}


def training_item(state: TrainState) -> dict[str, Any]:
    """Makes the item `training`: the state without what `model` holds."""
    training = state._asdict()
    del training["average"]
    training["params"] = state.params.to_tree()
    # A flat tuple: Orbax would name the fields of optax's states by their positions.
    training["opt_state"] = dict(enumerate_leaves(training["opt_state"]))
    return training


def enumerate_leaves(tree: Any) -> list[tuple[str, Any]]:
    """Leaves under zero-padded names that sort in order."""
    return [(f"{i:05d}", leaf) for i, leaf in enumerate(jax.tree.leaves(tree))]


def restore_state(items: Mapping[str, Any], like: TrainState) -> TrainState:
    """Puts `model_item` and `training_item` together again, shaped as `like`."""
    training = dict(items["training"])
    trees = {"params": training.pop("params"), "average": items["model"]["average"]}
    flat = {
        name: jax.device_put(FlatParams.from_tree(tree), like.step.sharding)
        for name, tree in jax.device_get(trees).items()
    }
    leaves = [leaf for _, leaf in sorted(training.pop("opt_state").items())]
    opt_state = jax.tree.unflatten(jax.tree.structure(like.opt_state), leaves)
    return TrainState(opt_state=opt_state, **flat, **training)


def abstract_model(config: Config) -> tuple[nnx.GraphDef, dict[str, Any]]:
    """Structure of the configured model, and its parameters as shapes alone."""
    graphdefs = []

    def create():
        graphdef, params = train_state.split_model(build_model(config, draw=False))
        graphdefs.append(graphdef)
        return params

    params = jax.eval_shape(create)
    return graphdefs[0], params


def load_checkpoint(workdir: str | Path, *, which: str = "best") -> Estimator:
    """Loads a trained model.

    Args:
      workdir: of a training run.
      which: `"best"` by validation, or `"last"`; best falls back to last.

    Raises:
      CheckpointError: if there is none, or it does not fit its configuration.
    """
    workdir = Path(workdir)
    if not (workdir / CONFIG_FILE).is_file():
        raise CheckpointError(
            f"`workdir`: expected a folder of a training run with {CONFIG_FILE}, got "
            f"{workdir}. Train first: python -m damamba_jax.train --workdir={workdir}."
        )
    config = read_config(workdir)
    _, params = abstract_model(config)
    statistics = {
        feature.name: {
            field: jax.ShapeDtypeStruct((feature.dim,), np.float32)
            for field in FeatureStatistics._fields
        }
        for feature in config.data.features
    }
    abstract = {"model": {"average": params, "statistics": statistics}}
    device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    abstract = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=device), abstract
    )
    for name in dict.fromkeys([which, "last"]):
        directory = workdir / "checkpoints" / name
        if not directory.is_dir():
            continue
        checkpoints = Checkpoints(directory, keep=None)
        found = checkpoints.restore_newest(abstract)
        checkpoints.close()
        if found is None:
            continue
        items, meta = found
        return Estimator(
            config=config,
            params=items["model"]["average"],
            statistics=from_arrays(
                jax.device_get(items["model"]["statistics"]), config.data.features
            ),
            simulated=bool(meta["simulated"]),
            step=int(meta["step"]),
        )
    raise CheckpointError(f"{workdir}: no checkpoint that can be read.")


def read_config(workdir: Path) -> Config:
    """Reads the configuration of a run, which may come from anybody.

    Raises:
      CheckpointError: if it is no configuration.
    """
    path = workdir / CONFIG_FILE
    size = path.stat().st_size
    if size > MAX_CONFIG_BYTES:
        raise CheckpointError(
            f"{path}: expected at most {MAX_CONFIG_BYTES} bytes, got {size}."
        )
    try:
        return from_json(path.read_text())
    except ConfigError as error:
        raise CheckpointError(f"{path}: {error}") from error
    except (ValueError, TypeError, RecursionError) as error:
        raise CheckpointError(
            f"{path}: expected a configuration in JSON, got {error}. Restore the file "
            f"from a copy, or train in another folder: --workdir=NEW."
        ) from error


def check_shapes(stored: Any, wanted: Any, *, source: str | Path) -> None:
    """Raises `ShapeError` naming the first leaf in which two trees differ."""
    stored, wanted = _shapes(stored), _shapes(wanted)
    for path in [*wanted, *stored]:
        if stored.get(path) != wanted.get(path):
            raise ShapeError(
                f"{source}: {path} is {stored.get(path, 'absent')} in the checkpoint, "
                f"but {wanted.get(path, 'absent')} in the configured model. Use the "
                f"configuration that it was trained with."
            )


def _leaves(tree: Any) -> dict[str, Any]:
    """Leaves by path, e.g. `model.average.head_out.kernel`."""
    flat, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {
        ".".join(str(getattr(entry, "key", entry)) for entry in path): leaf
        for path, leaf in flat
    }


def _shapes(tree: Any) -> dict[str, str]:
    """Describes each leaf, whatever kind of object stands for it: `float32[2, 3]`."""
    return {
        path: f"{np.dtype(leaf.dtype)}{list(leaf.shape)}"
        for path, leaf in _leaves(tree).items()
    }
