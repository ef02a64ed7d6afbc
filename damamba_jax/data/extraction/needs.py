"""Loads the libraries that some features need, and says how to install them."""

import hashlib
import importlib
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from types import ModuleType

from damamba_jax.errors import ConfigError


def load_package(name: str, *, feature: str, extra: str) -> ModuleType:
    """Imports a library that an extra of this package installs.

    Args:
      name: name of the module, such as `"opensmile"`.
      feature: the feature that needs the library, for the error.
      extra: the extra that installs the library.

    Raises:
      ConfigError: if the library is not installed or cannot be loaded.
    """
    try:
        return importlib.import_module(name)
    except (ImportError, OSError) as error:  # OSError: a system library is missing.
        missing = isinstance(error, ModuleNotFoundError) and error.name == name
        got = "which is not installed" if missing else f"which does not load ({error})"
        raise ConfigError(
            f"`{feature}` needs the package {name}, {got}. In the folder of the "
            f"checkout: pip install '.[{extra}]'"
        ) from error


def version_of(distribution: str) -> str:
    """Names a distribution and its version, such as `"opensmile 2.6.0"`."""
    try:
        return f"{distribution} {metadata.version(distribution)}"
    except metadata.PackageNotFoundError:
        return distribution


def first_line(error: Exception) -> str:
    """Returns the first line of an error's text, or its type if it has no text."""
    return (str(error) or type(error).__name__).splitlines()[0]


def digest_files(paths: Iterable[Path]) -> str:
    """Returns a digest of the bytes of files, such as weights, in this order."""
    found = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            found.update(hashlib.file_digest(file, "sha256").digest())
    return found.hexdigest()[:16]
