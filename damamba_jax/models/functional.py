"""Pure functions of a model: splitting, applying, shapes, numbers of parameters."""

import functools
from collections.abc import Mapping
from typing import Any

import jax
from flax import nnx

from damamba_jax.config.sections import Config
from damamba_jax.models import build_model


def parameter_counts(params) -> dict[str, int]:
    """Counts parameters per stage, `encoders/clip` and the like."""
    counts: dict[str, int] = {}
    for path, leaf in jax.tree_util.tree_flatten_with_path(params)[0]:
        names = [str(getattr(entry, "key", entry)) for entry in path]
        nested = names[0] in ("encoders", "stacks", "target", "partner")
        stage = "/".join(names[: 2 if nested else 1])
        counts[stage] = counts.get(stage, 0) + leaf.size
    return counts


Params = dict[str, Any]


# Per feature: `(center, inverse_scale)`, each [dim].
Statistics = Mapping[str, Any]


def split_model(model: nnx.Module) -> tuple[nnx.GraphDef, Params]:
    """Splits a model into its structure and a plain dict of parameters."""
    graphdef, params = nnx.split(model, nnx.Param)
    return graphdef, nnx.to_pure_dict(params)


def forward(graphdef, params: Params, batch, statistics: Statistics, **kwargs):
    """Applies the model; keywords are those of its `__call__`."""
    return nnx.merge(graphdef, params)(batch, statistics, **kwargs)


@functools.lru_cache(maxsize=8)
def abstract_model(config: Config) -> tuple[nnx.GraphDef, dict[str, Any]]:
    """Structure of the configured model, and its parameters as shapes alone."""
    graphdefs = []

    def create():
        graphdef, params = split_model(build_model(config, draw=False))
        graphdefs.append(graphdef)
        return params

    params = jax.eval_shape(create)
    return graphdefs[0], params
