"""Checkpoints, which Orbax saves, and which are verified when they are read.

A workdir holds `checkpoints/last/STEP` (everything that a run needs to go on) and
`checkpoints/best/STEP` (the averaged parameters with the best validation score). Each
consists of the items `model` (averaged parameters, feature statistics), `training` (the
rest of the state; absent in `best`) and `meta`. `meta` holds a digest of all arrays,
because Orbax itself notices neither a flipped bit nor a half-damaged newest step.
"""

import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from damamba_jax.errors import CheckpointError, ShapeError
from damamba_jax.runs.digest import digest, leaves_by_path
from damamba_jax.runs.workdir import QUARANTINE

_log = logging.getLogger(__name__)


class Checkpoints:
    """The checkpoints of one folder.

    Args:
      directory: folder of the checkpoints; it is created if it does not exist.
      keep: number of newest checkpoints that are kept. `None` opens the folder for
        reading only and changes nothing in it: a run may be writing there, or writing
        may be forbidden.
    """

    def __init__(self, directory: Path, *, keep: int | None):
        self.directory = Path(directory).resolve()
        self._keep = keep
        self._manager = self._open()

    def _open(self) -> ocp.CheckpointManager:
        if self._keep is None:
            # This process reads alone, even in a run of several processes, so that it
            # does not wait at barriers for the others.
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
        # With named handlers, shapes can be read before anything is restored.
        handlers = {
            "model": ocp.StandardCheckpointHandler(),
            "training": ocp.StandardCheckpointHandler(),
            "meta": ocp.JsonCheckpointHandler(),
        }
        return ocp.CheckpointManager(
            self.directory, options=options, item_handlers=handlers
        )

    def steps(self) -> list[int]:
        """Lists the steps on disk, the newest first."""
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

        Args:
          step: optimizer step.
          model: tree of arrays for the item `model`.
          training: tree of arrays for the item `training`; `None` leaves it out.
          meta: values for the item `meta`, as JSON can hold them.

        Raises:
          CheckpointError: if Orbax did not save the step.
        """
        if step in self._manager.all_steps():
            return
        trees = {"model": model} | ({"training": training} if training else {})
        items: dict[str, ocp.args.CheckpointArgs] = {
            name: ocp.args.StandardSave(tree) for name, tree in trees.items()
        }
        items["meta"] = ocp.args.JsonSave({**meta, "digest": digest(trees, meta)})
        saved = self._manager.save(step, args=ocp.args.Composite(**items), force=True)
        self._manager.wait_until_finished()
        if not saved or step not in self._manager.all_steps():
            raise CheckpointError(f"{self.directory}: step {step} was not saved.")

    def restore_newest(
        self, abstract: Mapping[str, Any]
    ) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """Restores the newest intact step.

        Damaged steps are moved to `quarantine/`. If the folder is open for reading
        only, they are skipped.

        Args:
          abstract: trees of `ShapeDtypeStruct` by item: `model`, perhaps `training`.

        Returns:
          The trees by item, and the values of `meta`; `None` if there is no intact
          step.

        Raises:
          ShapeError: if an array has another shape; the message names the first one.
        """
        for step in self.steps():
            try:
                return self._restore(step, abstract)
            except CheckpointError as error:
                if isinstance(error, ShapeError):
                    raise
                reason = str(error)
            except Exception as error:  # Orbax raises any error on a damaged file
                reason = f"{type(error).__name__}: {error}"
            reason = " ".join(reason.split())[:300]
            _log.warning("%s: step %d is damaged: %s", self.directory, step, reason)
            if self._keep is not None:
                self._quarantine(step)
        return None

    def drop_after(self, step: int) -> None:
        """Deletes all later steps; a run that goes on from `step` saves them again."""
        for later in self.steps():
            if later > step:
                self._manager.delete(later)

    def _restore(self, step: int, abstract: Mapping[str, Any]):
        for name, tree in abstract.items():
            self._check_shapes(step, name, tree)
        items: dict[str, ocp.args.CheckpointArgs] = {
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
        """Compares shapes before memory is allocated for the stored arrays."""
        metadata = self._manager.item_metadata(step)[name]
        if metadata is None:
            raise CheckpointError(f"no item `{name}`.")
        stored = getattr(metadata, "tree", metadata)
        check_shapes(
            {name: stored}, {name: abstract}, source=self.directory / str(step)
        )

    def _quarantine(self, step: int) -> None:
        quarantine = self.directory / QUARANTINE
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
        """Releases the resources that Orbax holds."""
        self._manager.close()


def check_shapes(stored: Any, wanted: Any, *, source: str | Path) -> None:
    """Checks that two trees have leaves of the same shapes and types.

    Args:
      stored: tree of a checkpoint.
      wanted: tree of the configured model.
      source: name of the checkpoint, for the message.

    Raises:
      ShapeError: if the trees differ; the message names the first such leaf.
    """
    stored, wanted = _shapes(stored), _shapes(wanted)
    for path in [*wanted, *stored]:
        if stored.get(path) != wanted.get(path):
            raise ShapeError(
                f"{source}: {path} is {stored.get(path, 'absent')} in the checkpoint, "
                f"but {wanted.get(path, 'absent')} in the configured model. Use the "
                f"configuration that the checkpoint was trained with."
            )


def _shapes(tree: Any) -> dict[str, str]:
    """Describes each leaf by type and shape, e.g. `float32[2, 3]`."""
    return {
        path: f"{np.dtype(leaf.dtype)}{list(leaf.shape)}"
        for path, leaf in leaves_by_path(tree).items()
    }
