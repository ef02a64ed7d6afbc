"""Functions that build, split and apply a model, and tell its shapes and sizes."""

import functools
from collections.abc import Mapping
from typing import Any, TypeVar

import jax
import numpy as np
from flax import nnx

from damamba_jax.config.sections import DataConfig
from damamba_jax.config.systems import (
    BaselineConfig,
    DAMambaConfig,
    DATConfig,
    SystemConfig,
)
from damamba_jax.models.inputs import Output, Statistics, System
from damamba_jax.models.layers import Draws

Params = dict[str, Any]
M = TypeVar("M", bound=nnx.Module)


def build_model(
    model: SystemConfig,
    data: DataConfig,
    *,
    seed: int | None,
    platform: str | None = None,
) -> System:
    """Builds a system. Only the module of that system is imported.

    Args:
      model: the system and its architecture.
      data: features, frame rate, window and normalization of the batches.
      seed: the seed of the parameters; `None` makes zeros, for use under
        `jax.eval_shape`.
      platform: the platform that the model's programs are meant for, such as `"gpu"`;
        `None` means the platform of this machine.
    """
    rng = None if seed is None else np.random.default_rng(seed)
    system = _create(model, data, rng)
    # The scans need to know the platform, since some kernels exist for one platform
    # only.
    system.set_attributes(platform=platform, raise_if_not_found=False)
    return place(system)


def draw_parameters(model: SystemConfig, data: DataConfig, *, seed: int) -> Params:
    """Draws the parameters of `build_model` as NumPy arrays, in the host's memory."""
    return split_model(_create(model, data, np.random.default_rng(seed)))[1]


def place(module: M) -> M:
    """Puts a new module's parameters, which NumPy drew, onto the default device.

    They are moved all at once, because moving them one by one would take seconds.
    """
    graphdef, state = nnx.split(module)
    return nnx.merge(graphdef, jax.device_put(state))


def _create(model: SystemConfig, data: DataConfig, rng: Draws) -> System:
    match model:
        case DAMambaConfig():
            from damamba_jax.models.damamba import DAMamba

            return DAMamba(model, data, rng=rng)
        case DATConfig():
            from damamba_jax.models.dat import DAT

            return DAT(model, data, rng=rng)
        case BaselineConfig():
            from damamba_jax.models.baseline import Baseline

            return Baseline(model, data, rng=rng)
    raise NotImplementedError(f"no model can be built from a {type(model).__name__}.")


def parameter_counts(params: Any) -> dict[str, int]:
    """Counts the parameters of each stage. A stage's name is like `encoders/clip`."""
    counts: dict[str, int] = {}
    for path, leaf in jax.tree_util.tree_flatten_with_path(params)[0]:
        names = [str(getattr(entry, "key", entry)) for entry in path]
        nested = names[0] in ("encoders", "stacks", "target", "partner")
        stage = "/".join(names[: 2 if nested else 1])
        counts[stage] = counts.get(stage, 0) + leaf.size
    return counts


def split_model(model: nnx.Module) -> tuple[nnx.GraphDef, Params]:
    """Splits a model into its structure and a plain dict of parameters."""
    graphdef, params = nnx.split(model, nnx.Param)
    return graphdef, nnx.to_pure_dict(params)


def forward(
    graphdef: nnx.GraphDef,
    params: Params,
    batch: Mapping[str, Any],
    statistics: Statistics,
    **kwargs: Any,
) -> Output:
    """Applies the model. The keywords are those of its `__call__`."""
    return nnx.merge(graphdef, params)(batch, statistics, **kwargs)


@functools.lru_cache(maxsize=8)
def abstract_model(
    model: SystemConfig, data: DataConfig, platform: str | None = None
) -> tuple[nnx.GraphDef, Params]:
    """Returns the structure of a model, and only the shapes of its parameters.

    Args:
      model, data, platform: the same arguments as those of `build_model`.
    """
    graphdefs = []

    def create() -> Params:
        graphdef, params = split_model(
            build_model(model, data, seed=None, platform=platform)
        )
        graphdefs.append(graphdef)
        return params

    params = jax.eval_shape(create)
    return graphdefs[0], params
