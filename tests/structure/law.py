"""Law of imports: the rooms that each room may import."""

_GROUND = {"errors", "files", "array_types", "config", "schema"}
_TOOLS = _GROUND | {"kernels", "metrics", "runtime", "runs"}

# The rooms of one line do not know each other unless a set names them.
MAY_IMPORT = {
    "errors": set(),
    "array_types": set(),
    "files": {"errors"},
    "config": {"errors", "files"},
    "schema": {"errors", "files", "array_types", "config"},
    "configs": {"config", "schema"},
    "kernels": {"errors", "array_types"},
    "metrics": _GROUND,
    "runtime": _GROUND,
    # Traces on disk are the metrics' traces.
    "runs": _GROUND | {"metrics"},
    "data": _TOOLS,
    "models": _TOOLS,
    "inference": _TOOLS | {"data", "models"},
    "training": _TOOLS | {"data", "models", "inference"},
    "evaluation": _TOOLS | {"data", "models", "inference", "training"},
}
MAY_IMPORT["reporting"] = MAY_IMPORT["evaluation"] | {"evaluation"}
MAY_IMPORT["studies"] = MAY_IMPORT["reporting"] | {"reporting", "configs"}
MAY_IMPORT["submission"] = MAY_IMPORT["studies"] | {"studies"}

# Libraries and rooms that a command or a call must not load.
MUST_NOT_LOAD = {
    "import damamba_jax.inference.estimator": (
        # Flax itself loads optax; the package's own users of it are in `training`.
        "grain",
        "damamba_jax.training",
        "damamba_jax.data.batches.windows",
    ),
    "import damamba_jax.inventory": ("numpy", "damamba_jax.data"),
    # What the command does once its flags are read.
    "import damamba_jax.reporting.inventory": (
        "jax",
        "damamba_jax.config.migrate",
        "damamba_jax.models",
    ),
    # Only who keeps recordings in tables waits for it.
    "import damamba_jax.train": ("pyarrow",),
}
