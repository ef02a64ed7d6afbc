"""Kept answers of measuring processes, from which an interrupted benchmark continues.

An answer is kept under a hash of its request, the configuration, the kind of device,
the version of jax and the code. The hash does not depend on the machine.
"""

import dataclasses
import functools
import hashlib
import json
from pathlib import Path
from typing import Any

import jax

from damamba_jax.config.sections import Config
from damamba_jax.files import read_json, write_text
from damamba_jax.runtime.programs import hash_sources

_SOURCES = (
    "damamba_jax", "kernels", "benchmarks/compiled.py", "benchmarks/step/measure.py",
)  # fmt: skip

Answer = dict[str, Any]


class KeptAnswers:
    """Answers of one benchmark.

    Args:
      folder: the folder in which answers outlive the benchmark; None keeps them only in
        memory.
      device: `"cpu"` or `"gpu"`.
    """

    def __init__(self, folder: Path | None, device: str):
        self._folder, self._device = folder, device
        self._held: dict[str, Answer] = {}

    def get(self, config: Config, request: Answer) -> Answer | None:
        """Returns the answer to a request, if there is one that can be read."""
        name = self._name(config, request)
        if name in self._held or self._folder is None:
            return self._held.get(name)
        try:
            return read_json(self._folder / name)
        except (FileNotFoundError, ValueError):
            return None

    def put(
        self, answer: Answer, config: Config, request: Answer, *, for_good: bool
    ) -> None:
        """Keeps an answer. With `for_good`, the answer outlives the benchmark."""
        name = self._name(config, request)
        self._held[name] = answer
        if self._folder is not None and for_good:
            write_text(self._folder / name, json.dumps(answer))

    def _name(self, config: Config, request: Answer) -> str:
        of = (dataclasses.asdict(config), request, self._device, jax.__version__)
        text = json.dumps([*of, _code()], sort_keys=True)
        return f"{config.name}-{hashlib.sha256(text.encode()).hexdigest()[:16]}.json"


@functools.cache
def _code() -> str:
    """Returns a hash of the source files that a step depends on."""
    root = Path(__file__).resolve().parents[2]
    return hash_sources(root / source for source in _SOURCES)
