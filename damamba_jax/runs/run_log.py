"""Logs of a running training: `metrics.jsonl`, `timing.jsonl` and TensorBoard.

Values in `metrics.jsonl` depend only on configuration, data and step, so that two runs
of the same configuration write the same bytes. Values that depend on the machine's
speed go to `timing.jsonl`. When a run resumes, the lines after the restored step are
removed from both files.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from damamba_jax.errors import ConfigError
from damamba_jax.files import read_text, write_text
from damamba_jax.runs import workdir as names


class RunLog:
    """Appends to the logs of one workdir.

    Args:
      workdir: workdir of the run.
      step: step that was restored; lines of later steps are dropped.
      simulated: whether the corpus is simulated; every line says so.
      tensorboard: whether to write TensorBoard events as well.
      write: whether to write at all; only the first process of a run does.
    """

    def __init__(
        self,
        workdir: Path,
        *,
        step: int,
        simulated: bool,
        tensorboard: bool = False,
        write: bool = True,
    ):
        self.simulated = simulated
        self._board = _board(workdir, step) if tensorboard and write else None
        self._files: dict[str, TextIO] = {}
        self._lines = [
            json.loads(line) for line in _lines_until(workdir / names.METRICS, step)
        ]
        if write:
            for name in (names.METRICS, names.TIMING):
                cut_back(workdir / name, step)
                self._files[name] = (workdir / name).open("a", encoding="utf-8")

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Adds a line to `metrics.jsonl`.

        Args:
          step: optimizer step.
          values: values by metric; a value that is not finite becomes `null`.
        """
        self._write(names.METRICS, step, values)

    def timing(self, step: int, values: Mapping[str, float]) -> None:
        """Adds a line to `timing.jsonl`, with the same arguments as `metrics`."""
        self._write(names.TIMING, step, values)

    def values(self, key: str) -> list[float]:
        """Lists all finite values of one metric, also those from before a resume."""
        return [line[key] for line in self._lines if line.get(key) is not None]

    def has(self, step: int, key: str) -> bool:
        """Says whether a metric was logged at a step."""
        return any(line["step"] == step and key in line for line in self._lines)

    def _write(self, name: str, step: int, values: Mapping[str, Any]) -> None:
        # Strict JSON has neither NaN nor infinity.
        line = {
            key: None if isinstance(v, float) and not math.isfinite(v) else v
            for key, v in values.items()
        } | {"simulated": self.simulated}
        if name == names.METRICS:
            self._lines.append({"step": step, **line})
        if name in self._files:
            self._files[name].write(json.dumps({"step": step, **line}) + "\n")
            self._files[name].flush()
        if self._board is not None:
            origin = f"{'simulated/' * self.simulated}{Path(name).stem}"
            for key, value in values.items():
                self._board.add_scalar(f"{origin}/{key}", value, step)

    def close(self) -> None:
        """Closes all files."""
        for file in self._files.values():
            file.close()
        if self._board is not None:
            self._board.close()


def cut_back(path: Path, step: int) -> None:
    """Drops the lines of later steps, and a last line that a crash cut off.

    Args:
      path: path of the log.
      step: last step that is kept.
    """
    if path.exists():
        write_text(path, "".join(_lines_until(path, step)))


def _lines_until(path: Path, step: int) -> list[str]:
    """Reads the intact lines up to a step.

    It stops at the first line that is of a later step or cut off.
    """
    kept = []
    for line in read_text(path).splitlines(keepends=True) if path.exists() else []:
        try:
            number = json.loads(line)["step"]
        except (ValueError, KeyError, TypeError):
            break
        if number > step or not line.endswith("\n"):
            break
        kept.append(line)
    return kept


def read(path: Path) -> list[dict[str, Any]]:
    """Reads all lines of a log."""
    return [json.loads(line) for line in read_text(path).splitlines()]


def _board(workdir: Path, step: int) -> Any:
    try:
        import tensorboardX  # pyright: ignore[reportMissingImports]  # an extra
    except ImportError as error:
        raise ConfigError(
            "`train.tensorboard`: needs tensorboardX; pip install tensorboardX."
        ) from error
    return tensorboardX.SummaryWriter(str(workdir / names.TENSORBOARD), purge_step=step)
