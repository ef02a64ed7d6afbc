"""Functions of a model: building, splitting, applying, shapes, numbers."""

import functools
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from flax import nnx

from damamba_jax.config.sections import DataConfig
from damamba_jax.config.systems import SystemConfig
from damamba_jax.models.inputs import Output, System

Params = dict[str, Any]


# Per feature: `(center, inverse_scale)`, each [dim].
Statistics = Mapping[str, Any]


def build_model(model: SystemConfig, data: DataConfig, *, seed: int | None) -> System:
    """Builds a system; only the module of that system is imported.

    Args:
      model: the system and its architecture.
      data: features, frame rate, window and normalization of the batches.
      seed: seed of the parameters; `None` makes zeros, for use under `jax.eval_shape`.
    """
    rng = None if seed is None else np.random.default_rng(seed)
    match model.system:
        case "damamba":
            from damamba_jax.models.damamba import DAMamba as chosen
        case "dat":
            from damamba_jax.models.dat import DAT as chosen
        case "baseline":
            from damamba_jax.models.baseline import Baseline as chosen
    return chosen(model, data, rng=rng)


def parameter_counts(params: Any) -> dict[str, int]:
    """Counts parameters per stage, `encoders/clip` and the like."""
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
    """Applies the model; keywords are those of its `__call__`."""
    return nnx.merge(graphdef, params)(batch, statistics, **kwargs)


@functools.lru_cache(maxsize=8)
def abstract_model(
    model: SystemConfig, data: DataConfig
) -> tuple[nnx.GraphDef, Params]:
    """Returns the structure of a model, and its parameters as shapes alone."""
    graphdefs = []

    def create() -> Params:
        graphdef, params = split_model(build_model(model, data, seed=None))
        graphdefs.append(graphdef)
        return params

    params = jax.eval_shape(create)
    return graphdefs[0], params
