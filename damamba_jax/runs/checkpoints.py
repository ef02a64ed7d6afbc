"""Checkpoints: saved through Orbax, verified when read, exact on resume.

A workdir holds `checkpoints/last/STEP` (everything a run needs to go on) and
`checkpoints/best/STEP` (the averaged parameters with the best validation score). Each
consists of the items `model` (averaged parameters, feature statistics), `training` (the
rest of the state; absent in `best`) and `meta`, which holds a digest of all arrays:
Orbax itself notices neither a flipped bit nor a half-damaged newest step.
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
        """Compares shapes before anything of the size they claim is allocated."""
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
        """Releases what Orbax holds."""
        self._manager.close()


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


def _shapes(tree: Any) -> dict[str, str]:
    """Describes each leaf, whatever kind of object stands for it: `float32[2, 3]`."""
    return {
        path: f"{np.dtype(leaf.dtype)}{list(leaf.shape)}"
        for path, leaf in leaves_by_path(tree).items()
    }
