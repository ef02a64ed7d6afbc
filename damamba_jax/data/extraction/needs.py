"""Libraries and weights that single features need, and what to do without them."""

import hashlib
import importlib
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from types import ModuleType

from damamba_jax.errors import ConfigError


def load_package(name: str, *, feature: str, extra: str) -> ModuleType:
    """Imports a library that an extra of this package brings.

    Args:
      name: the module, e.g. `"opensmile"`.
      feature: the feature that needs it, for the error.
      extra: the extra that brings it.

    Raises:
      ConfigError: if it is not installed, or cannot be loaded.
    """
    try:
        return importlib.import_module(name)
    except (ImportError, OSError) as error:  # a library of the system is missing
        missing = isinstance(error, ModuleNotFoundError) and error.name == name
        got = "which is not installed" if missing else f"which does not load ({error})"
        raise ConfigError(
            f"`{feature}` needs the package {name}, {got}. In the folder of the "
            f"checkout: pip install '.[{extra}]'"
        ) from error


def version_of(distribution: str) -> str:
    """Names a distribution and its version, e.g. `"opensmile 2.6.0"`."""
    try:
        return f"{distribution} {metadata.version(distribution)}"
    except metadata.PackageNotFoundError:
        return distribution


def first_line(error: Exception) -> str:
    """The first line of an error's text, or its name where it has none."""
    return (str(error) or type(error).__name__).splitlines()[0]


def digest_files(paths: Iterable[Path]) -> str:
    """Digests the bytes of files, such as weights, in this order."""
    found = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            found.update(hashlib.file_digest(file, "sha256").digest())
    return found.hexdigest()[:16]
