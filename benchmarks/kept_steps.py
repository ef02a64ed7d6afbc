"""Measurements on disk, with which an interrupted benchmark of steps goes on.

A measurement is kept under the hash of all that it depends on but the machine: its
request, the configuration, the kind of device, jax, and the code.
"""

import dataclasses
import functools
import hashlib
import json
from pathlib import Path
from typing import Any

import jax

from damamba_jax.config.sections import Config
from damamba_jax.files import write_text

_SOURCES = (
    "damamba_jax", "kernels", "benchmarks/memory_step.py",
)  # fmt: skip


class KeptSteps:
    """Measurements of one benchmark.

    Args:
      folder: where they are; None keeps nothing.
      device: `"cpu"` or `"gpu"`.
    """

    def __init__(self, folder: Path | None, device: str):
        self._folder, self._device = folder, device

    def get(self, config: Config, **request: Any) -> dict[str, Any] | None:
        """Returns what was found for a request, if that is there and can be read."""
        path = self._path(config, request)
        try:
            return json.loads(path.read_text()) if path else None
        except (FileNotFoundError, ValueError):
            return None

    def put(self, found: dict[str, Any], config: Config, **request: Any) -> None:
        """Keeps what was found; the file appears in one move."""
        if path := self._path(config, request):
            write_text(path, json.dumps(found))

    def _path(self, config: Config, request: dict[str, Any]) -> Path | None:
        if self._folder is None:
            return None
        of = (dataclasses.asdict(config), request, self._device, jax.__version__)
        text = json.dumps([*of, _code()], sort_keys=True)
        name = hashlib.sha256(text.encode()).hexdigest()[:16]
        return self._folder / f"{config.name}-{name}.json"


@functools.cache
def _code() -> str:
    """A hash of the sources that a step is made of."""
    root = Path(__file__).resolve().parent.parent
    found = hashlib.sha256()
    for source in _SOURCES:
        path = root / source
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            found.update(file.read_bytes())
    return found.hexdigest()
