"""Checks and measurements of training steps, for all benchmarks that show them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.step import process
from benchmarks.step.kept import Answer, KeptAnswers
from benchmarks.step.process import BenchmarkError
from damamba_jax.config.sections import Config

_CHECK = {"task": "parity"}


def parity_text(parity: Mapping[str, Any]) -> str:
    """Writes the result of `Steps.check` as one line."""
    return (
        f"parity: loss {parity['loss']:.7f}; {parity['other']} "
        f"{parity['other_loss']:.7f} (allowed: {parity['tolerance']:g})"
    )


class Steps:
    """Asks measuring processes about steps. No question is asked a second time.

    Args:
      device: `"cpu"` or `"gpu"`.
      folder: the folder that keeps answers for a later run of the same command; None
        means that answers are not kept on disk.
      beside_others: whether several processes run at the same time.
      options: options of `measure.measure`, such as `repeats`, but not the length.
    """

    def __init__(
        self,
        device: str,
        *,
        folder: Path | None = None,
        beside_others: bool = False,
        **options: Any,
    ):
        self.device = device
        self._kept = KeptAnswers(folder, device)
        self._beside_others, self._options = beside_others, options
        self._compile_seconds: dict[tuple[str, int], float] = {}

    def knows(self, config: Config, length: int | None = None) -> bool:
        """Says whether the measurement of a length is kept; None asks for the check."""
        request = _CHECK if length is None else self._request(length)
        return self._kept.get(config, request) is not None

    def check(self, config: Config) -> Answer:
        """Returns the result of the check of a configuration's step.

        Raises:
          BenchmarkError: if the step disagrees with the same step, computed in another
            way.
        """
        parity = self._kept.get(config, _CHECK)
        if parity is None:
            parity = process.run(_CHECK, config, self.device)
            self._kept.put(parity, config, _CHECK, for_good=parity["ok"])
        if not parity["ok"]:
            raise BenchmarkError(
                f"{config.name}: a step of this configuration and the same step "
                f"{parity['other']} disagree. No figure is printed: {parity}"
            )
        return parity

    def prepare(self, config: Config, length: int | None) -> None:
        """Checks a step (`length` None), or compiles it for a later measurement.

        A failure, for instance too little memory beside other processes, is ignored.
        The step is tried again when its figure is asked for.
        """
        try:
            if length is None:
                self.check(config)
                return
            request = {"task": "compile", "length": length}
            answer = process.run(request, config, self.device)
            self._compile_seconds[config.name, length] = answer["compile_seconds"]
        except BenchmarkError:
            return

    def measure(self, config: Config, length: int) -> Answer:
        """Returns memory and time of a step with windows of `length` frames.

        Raises:
          BenchmarkError: if the measuring process fails.
        """
        request = self._request(length)
        row = self._kept.get(config, request)
        if row is None:
            row = process.measure(
                request, config, self.device, beside_others=self._beside_others
            )
            # The measuring process only read the program from the cache, so this is the
            # time of the process that compiled it.
            seconds = self._compile_seconds.get((config.name, length))
            row |= {} if seconds is None else {"compile_seconds": seconds}
            # A step that ran out of memory may fit another time.
            for_good = not process.is_exhausted(request, row)
            self._kept.put(row, config, request, for_good=for_good)
        return row

    def _request(self, length: int) -> Answer:
        return {"task": "measure", "length": length, **self._options}
