"""The estimator: a trained model that scores batches and recordings."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from damamba_jax.array_types import Array
from damamba_jax.config.sections import Config, DataConfig
from damamba_jax.config.systems import SystemConfig
from damamba_jax.errors import CheckpointError
from damamba_jax.models.flat_params import FlatParams
from damamba_jax.models.functional import Params, Statistics, abstract_model, forward
from damamba_jax.runs.bands import Bands, read_bands
from damamba_jax.runs.checkpoints import Checkpoints
from damamba_jax.runs.members import find_members
from damamba_jax.runs.workdir import BEST, LAST, read_config
from damamba_jax.runtime.compiler import compiler_options
from damamba_jax.runtime.mesh import replicate
from damamba_jax.runtime.programs import Program, Shapes
from damamba_jax.schema.statistics import (
    FeatureStatistics,
    abstract_statistics,
    from_arrays,
)

if TYPE_CHECKING:
    from damamba_jax.inference.recordings import Member


def predict_function(
    model: SystemConfig, data: DataConfig, *, platform: str | None = None
) -> Callable[..., Array]:
    """Returns the jitted `predict(params, batch, statistics, *, num_frames)`.

    Args:
      model: the system and its architecture.
      data: features, frame rate, window and normalization of the batches.
      platform: the platform that the program is meant for; `None` means the platform of
        this machine.
    """
    return make_predict(abstract_model(model, data, platform)[0], platform)


def make_predict(
    graphdef: nnx.GraphDef, platform: str | None = None
) -> Callable[..., Array]:
    """Returns the same function as `predict_function`, from a model's structure."""
    return jax.jit(
        functools.partial(_score, graphdef),
        static_argnames="num_frames",
        compiler_options=compiler_options(platform),
    )


def _score(
    graphdef: nnx.GraphDef,
    params: Params | FlatParams,
    batch: Mapping[str, Any],
    statistics: Statistics,
    *,
    num_frames: int,
) -> Array:
    """Computes the scores of a batch. Every program that predicts uses this."""
    tree = params.to_tree() if isinstance(params, FlatParams) else params
    found = forward(graphdef, tree, batch, statistics, num_frames=num_frames).score
    # For classes the model gives log-probabilities.
    return jnp.exp(found) if found.ndim > 2 else found


def compile_predict(
    model: SystemConfig, data: DataConfig, batch: Shapes, num_frames: int
) -> Callable[[FlatParams, Mapping[str, Any], Statistics], Array]:
    """Starts to compile `predict_function` for batches of one shape.

    Args:
      model, data: the arguments of `predict_function` with these names.
      batch: the shapes of the batches. If they are sharded over several devices, every
        device gets all scores.
      num_frames: the number of frames of the windows.

    Returns:
      A function `predict(params, batch, statistics)`. Its first call waits until the
      program is compiled.
    """
    return _compile_predict(model, data.for_programs(), batch, num_frames)


# Several programs are kept, because whole sessions have different shapes.
@functools.lru_cache(maxsize=16)
def _compile_predict(
    model: SystemConfig, data: DataConfig, batch: Shapes, num_frames: int
) -> Callable[[FlatParams, Mapping[str, Any], Statistics], Array]:
    """Does what `compile_predict` says, for the result of `data.for_programs()`."""
    graphdef, tree = abstract_model(model, data)
    sharding = batch.leaves[0].sharding
    everywhere = None if sharding is None else replicate(sharding)
    params = Shapes.of(jax.eval_shape(FlatParams.from_tree, tree), everywhere)
    statistics = Shapes.of(abstract_statistics(data.features))

    def run(leaves: list[Array], batch: Any, center_and_scale: list[Array]) -> Array:
        return _score(
            graphdef,
            params.structure.unflatten(leaves),
            batch,
            statistics.structure.unflatten(center_and_scale),
            num_frames=num_frames,
        )

    program = Program(
        run,
        (list(params.leaves), batch.tree, list(statistics.leaves)),
        name="predict",
        key=repr((model, data, num_frames)),
        out_shardings=everywhere,
        compiler_options=compiler_options(None),
    )

    def predict(
        params: FlatParams, batch: Mapping[str, Any], statistics: Statistics
    ) -> Array:
        return program(jax.tree.leaves(params), batch, jax.tree.leaves(statistics))

    return predict


@dataclasses.dataclass
class Estimator:
    """A trained model that scores batches and recordings.

    Attributes:
      config: the configuration of the run that trained the model.
      params: the averaged parameters.
      statistics: the statistics of each feature, for standardisation.
      simulated: whether the model was trained on the simulated corpus.
      step: the step of the checkpoint.
      bands: the bands around scores that hold most annotations of people who were not
        trained on.
    """

    config: Config
    params: dict[str, Any]
    statistics: Mapping[str, FeatureStatistics]
    simulated: bool
    step: int
    bands: Bands = Bands()

    def __post_init__(self) -> None:
        """Puts the parameters on the device in the form that validation uses too."""
        flat = FlatParams.from_tree(jax.device_get(self.params))
        self._flat = jax.device_put(flat)

    def __repr__(self) -> str:
        """Returns a few lines that say what the model is and what it reads."""
        data = self.config.data
        low, high = data.label_range
        scores = f"scores from {low:g} to {high:g}"
        if data.classes:
            scores = f"classes {', '.join(data.classes)}"
        origin = "the simulated corpus" if self.simulated else "recordings"
        lines = [
            f"Estimator({self.config.name!r}, step {self.step}, trained on {origin})",
            *(f"  {f.name}: {f.dim} columns at {f.rate:g} Hz" for f in data.features),
            f"  {scores}",
        ]
        if self.bands.frame is not None:
            lines.append(f"  {self.bands.frame}")
        return "\n".join(lines)

    def score(
        self, people: Mapping[str, Mapping[str, Any]], rates: Mapping[str, float] = {}
    ) -> dict[str, Any]:
        """Scores a recording that is in memory, as `damamba predict` does from disk.

            load_checkpoint(W).score({"anna": {"voice": array}}, rates={"voice": 100.0})

        Args:
          people: for each person the features by name, each `[T, dim]`, with NaN for
            missing entries. A person need not have all features.
          rates: the rate of each feature, in Hz. Features without an entry have the
            rate that they have in training.

        Returns:
          The `ParticipantScores` of each person: times, scores and a band around the
          scores. `inference/recordings.py` lists all its fields.

        Raises:
          ConfigError: if a feature is unknown or has a wrong number of columns or a
            wrong rate, or if there are no people.
        """
        # The import is late, because scoring batches needs no reader of recordings.
        from damamba_jax.inference.recordings import score_arrays

        return dict(score_arrays([self.member()], people, rates))

    def member(self) -> "Member":
        """Returns this model in the form that `inference/recordings.py` uses."""
        from damamba_jax.inference.recordings import Member

        shares = self.config.model.system == "damamba"
        return Member(self.config, self.bands, self.predict, shares)

    def predict(
        self, batch: Mapping[str, Any], *, num_frames: int | None = None
    ) -> jax.Array:
        """Scores a batch.

        Args:
          batch: the arrays that `schema/batch.py` lists.
          num_frames: the number of frames of the batch's windows; None means that of
            the configuration.

        Returns:
          One score in [0, 1] for each label time, float32 [B, Tl]. For classes, the
          probability of each class, float32 [B, Tl, K].
        """
        arrays = dict(batch)
        predict = compile_predict(
            self.config.model,
            self.config.data,
            Shapes.of(arrays),
            num_frames or self.config.data.window.window_frames,
        )
        return predict(self._flat, arrays, self.statistics)


def load_checkpoint(workdir: str | Path, *, which: str = "best") -> Estimator:
    """Loads a trained model.

    Args:
      workdir: the workdir of a training run.
      which: `"best"` for the best checkpoint by validation, or `"last"` for the newest
        one. If there is no best one, the last one is loaded.

    Raises:
      CheckpointError: if there is no checkpoint, or if it does not fit its
        configuration.
    """
    workdir = Path(workdir)
    config = read_config(workdir)
    # These are the arguments with which the program asks for the model too, so that it
    # finds the model in the cache.
    _, params = abstract_model(config.model, config.data.for_programs())
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
    for name in dict.fromkeys([BEST if which == "best" else LAST, LAST]):
        directory = workdir / name
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
            bands=read_bands(workdir),
        )
    raise CheckpointError(
        f"{workdir}: expected a checkpoint, got none that can be read. Train again, "
        f"with the same configuration: damamba train --config=FILE "
        f"--workdir={workdir}."
    )


def load_members(folder: str | Path) -> list[Estimator]:
    """Loads the one model of a run, or all models of a cross-validation.

    The bands of a cross-validation were measured on its single models. They are used
    for the mean of its models.

    Args:
      folder: the workdir of a training run, or the folder of a cross-validation.

    Raises:
      CheckpointError: if one of the models cannot be loaded.
    """
    folder = Path(folder)
    members = find_members(folder)
    estimators = [load_checkpoint(workdir) for workdir in members]
    if members == (folder,):
        return estimators
    bands = read_bands(folder)
    return [dataclasses.replace(one, bands=bands) for one in estimators]
