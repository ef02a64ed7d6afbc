"""A trained model, ready to score batches."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import nnx
from jax.sharding import NamedSharding

from damamba_jax.array_types import Array
from damamba_jax.config.sections import Config, DataConfig
from damamba_jax.config.systems import SystemConfig
from damamba_jax.errors import CheckpointError
from damamba_jax.models.flat_params import FlatParams
from damamba_jax.models.functional import Params, Statistics, abstract_model, forward
from damamba_jax.runs.checkpoints import Checkpoints
from damamba_jax.runs.workdir import BEST, CONFIG, LAST, read_config
from damamba_jax.runtime.compiler import compiler_options
from damamba_jax.schema.statistics import FeatureStatistics, from_arrays


# Models of one structure share what was compiled for the first of them.
@functools.lru_cache(maxsize=4)
def predict_function(
    model: SystemConfig,
    data: DataConfig,
    out_sharding: NamedSharding | None = None,
    platform: str | None = None,
) -> Callable[..., Array]:
    """Returns the jitted `predict(params, batch, statistics, *, num_frames)`.

    This is the only way from a batch to scores, in validation as well.

    Args:
      model: the system and its architecture.
      data: features, frame rate, window and normalization of the batches.
      out_sharding: where the scores lie; wherever XLA leaves them when `None`.
      platform: the platform that the program is meant for; `None` is this machine's.
    """
    graphdef, _ = abstract_model(model, data, platform)
    return make_predict(graphdef, out_sharding, platform)


def make_predict(
    graphdef: nnx.GraphDef,
    out_sharding: NamedSharding | None = None,
    platform: str | None = None,
) -> Callable[..., Array]:
    """Returns `predict_function` for a structure that is at hand."""

    @functools.partial(
        jax.jit,
        static_argnames="num_frames",
        out_shardings=out_sharding,
        compiler_options=compiler_options(platform),
    )
    def predict(
        params: Params | FlatParams,
        batch: Mapping[str, Any],
        statistics: Statistics,
        *,
        num_frames: int,
    ) -> Array:
        tree = params.to_tree() if isinstance(params, FlatParams) else params
        output = forward(graphdef, tree, batch, statistics, num_frames=num_frames)
        return output.score

    return predict


@dataclasses.dataclass
class Estimator:
    """A trained model, ready to score batches.

    Attributes:
      config: the configuration of the run that trained it.
      params: the averaged parameters.
      statistics: per feature, for standardisation.
      simulated: trained on the simulated corpus.
      step: the step of the checkpoint.
    """

    config: Config
    params: dict[str, Any]
    statistics: Mapping[str, FeatureStatistics]
    simulated: bool
    step: int

    def __post_init__(self) -> None:
        """Finds or makes the compiled function."""
        self._predict = predict_function(self.config.model, self.config.data)

    def predict(
        self, batch: Mapping[str, Any], *, num_frames: int | None = None
    ) -> jax.Array:
        """Scores a batch: float32 [B, Tl], one score in [0, 1] per label time.

        Args:
          batch: the batch of `schema/batch.py`.
          num_frames: frames of its windows; those of the configuration when None.
        """
        return self._predict(
            self.params,
            dict(batch),
            self.statistics,
            num_frames=num_frames or self.config.data.window.window_frames,
        )


def load_checkpoint(workdir: str | Path, *, which: str = "best") -> Estimator:
    """Loads a trained model.

    Args:
      workdir: the workdir of a training run.
      which: `"best"` by validation, or `"last"`; best falls back to last.

    Raises:
      CheckpointError: if there is none, or it does not fit its configuration.
    """
    workdir = Path(workdir)
    if not (workdir / CONFIG).is_file():
        raise CheckpointError(
            f"`workdir`: expected a folder of a training run with {CONFIG}, got "
            f"{workdir}. Train first: python -m damamba_jax.train --workdir={workdir}."
        )
    config = read_config(workdir)
    _, params = abstract_model(config.model, config.data)
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
        )
    raise CheckpointError(f"{workdir}: no checkpoint that can be read.")
