"""Checked and measured training steps, for every benchmark that shows their figures."""

from pathlib import Path
from typing import Any

from benchmarks.step import process
from benchmarks.step.kept import Answer, KeptAnswers
from benchmarks.step.process import BenchmarkError
from damamba_jax.config.sections import Config

_CHECK = {"task": "parity"}


class Steps:
    """Asks measuring processes about steps, and nothing a second time.

    Args:
      device: `"cpu"` or `"gpu"`.
      folder: where answers are kept for the same command; None keeps none.
      beside_others: whether several steps are asked about at a time.
      options: the options of `measure.measure` but the length, e.g. `repeats`.
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
        """Whether the measurement of a length is kept, or the check if it is None."""
        request = _CHECK if length is None else self._request(length)
        return self._kept.get(config, request) is not None

    def check(self, config: Config) -> Answer:
        """Returns what the check of a configuration's step found.

        Raises:
          BenchmarkError: if the step does not agree with the same in another way.
        """
        parity = self._kept.get(config, _CHECK)
        if parity is None:
            parity = process.run(_CHECK, config, self.device)
            self._kept.put(parity, config, _CHECK, for_good=parity["ok"])
        if not parity["ok"]:
            raise BenchmarkError(
                f"{config.name}: a step of this configuration and the same "
                f"{parity['other']} disagree; no figure is printed: {parity}"
            )
        return parity

    def prepare(self, config: Config, length: int | None) -> None:
        """Checks a step, or compiles that of a length for a later measurement.

        What fails, for instance for want of memory beside the others, is tried again
        when its figure is asked for.
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
        """Returns memory and time of a step, `length` frames a window.

        Raises:
          BenchmarkError: if the measuring process fails.
        """
        request = self._request(length)
        row = self._kept.get(config, request)
        if row is None:
            row = process.measure(
                request, config, self.device, beside_others=self._beside_others
            )
            # The measuring process itself has read it from the cache.
            seconds = self._compile_seconds.get((config.name, length))
            row |= {} if seconds is None else {"compile_seconds": seconds}
            # There may be more memory another time.
            for_good = not process.is_exhausted(request, row)
            self._kept.put(row, config, request, for_good=for_good)
        return row

    def _request(self, length: int) -> Answer:
        return {"task": "measure", "length": length, **self._options}
