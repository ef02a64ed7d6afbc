"""Dialogue-aware Mamba in JAX: engagement of each person, frame by frame."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from damamba_jax.inference.estimator import load_checkpoint
    from damamba_jax.models.functional import build_model

__version__ = "0.1.0"

# In a checkout, `kernels/` and `configs/` stand beside this package instead of inside
# it. Python that starts in the repository's root finds this folder before an installed
# package, so `damamba_jax.kernels` must be found here as well.
_checkout = Path(__file__).resolve().parent.parent
if (_checkout / "setup.cfg").is_file() and (
    _checkout / "kernels" / "__init__.py"
).is_file():
    __path__.append(str(_checkout))

_PUBLIC = {
    "build_model": "damamba_jax.models.functional",
    "load_checkpoint": "damamba_jax.inference.estimator",
}
__all__ = ["build_model", "load_checkpoint"]


def __getattr__(name: str):
    # A name is imported only when it is asked for: jax, flax and orbax take seconds to
    # import, and `inventory` and `simulate` need no model.
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_PUBLIC[name]), name)
