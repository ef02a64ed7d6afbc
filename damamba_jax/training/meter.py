"""Reads the scalars of training steps without making the device wait."""

import time
from collections.abc import Mapping
from typing import Any

import jax

from damamba_jax.config.sections import TrainConfig
from damamba_jax.errors import TrainingError
from damamba_jax.runs.run_log import RunLog


class Meter:
    """Logs the scalars of each step one step late, and measures speed.

    Args:
      log: the run's log, which gets a line every `log_every` steps.
      config: the configuration of training.
      start: the step at which this process starts.
      choice: the name of the validation score that chooses the best checkpoint.
    """

    def __init__(
        self,
        log: RunLog,
        config: TrainConfig,
        *,
        start: int,
        choice: str = "val_ccc",
    ) -> None:
        self._log, self._config = log, config
        self._pending: tuple[int, Mapping[str, Any]] | None = None
        self._last: tuple[int, float] | None = None
        self._loss = float("nan")
        self._title = {"val_ccc": "val CCC"}.get(choice, choice.replace("_", " "))
        self._score = log.values(choice)[-1:]
        self.seconds_per_step = 0.0

    def add(self, step: int, scalars: Mapping[str, Any]) -> None:
        """Takes the scalars of a step that may still be computing.

        Raises:
          TrainingError: if too many steps in a row were not finite.
        """
        self.flush()
        self._pending = step, scalars
        now = time.perf_counter()
        if self._last is not None:
            seconds = (now - self._last[1]) / (step - self._last[0])
            old = self.seconds_per_step or seconds
            self.seconds_per_step = 0.9 * old + 0.1 * seconds
        self._last = step, now

    def flush(self) -> None:
        """Waits for the last step and logs it."""
        if self._pending is None:
            return
        (step, scalars), self._pending = self._pending, None
        values = {key: value.item() for key, value in jax.device_get(scalars).items()}
        self._loss = values["loss"]
        bad = values.pop("bad_steps")
        if bad >= self._config.max_bad_steps:
            raise TrainingError(
                f"step {step}: the loss or a gradient was not finite {bad} times in a "
                f"row. These steps changed nothing, and the checkpoints are intact. "
                f"Lower `optim.lr`, or look for extreme values in the features."
            )
        if step % self._config.log_every == 0:
            self._log.metrics(step, values)
            self._log.timing(step, self._speed())

    def pause(self, score: float | None = None) -> None:
        """Keeps the time between two steps out of the measured speed.

        Args:
          score: the score of a validation, if there was one.
        """
        self._last = None
        if score is not None:
            self._score = [score]

    @property
    def text(self) -> str:
        """Text for the progress line: loss, validation score and speed."""
        parts = [f"loss {self._loss:.3f}"]
        parts += [f"{self._title} {value:.3f}" for value in self._score]
        speed = self._speed()
        if speed:
            parts.append(f"{speed['steps_per_second']:.2f} steps/s")
            parts.append(f"{speed['windows_per_second']:.0f} windows/s")
        return ", ".join(parts)

    def _speed(self) -> dict[str, float]:
        if not self.seconds_per_step:
            return {}
        rate = 1.0 / self.seconds_per_step
        return {
            "steps_per_second": rate,
            "windows_per_second": rate * self._config.batch_size,
        }
