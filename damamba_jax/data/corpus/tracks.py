"""Feature streams of participants, whatever their samples lie in."""

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from damamba_jax.config.sections import FeatureConfig
from damamba_jax.data.corpus.patterns import Match
from damamba_jax.data.formats import ssi
from damamba_jax.errors import format_error


@runtime_checkable
class Source(Protocol):
    """What holds the samples of a track, if no stream does."""

    @property
    def pieces(self) -> Sequence[Match]:
        """The files; none for what lies in memory."""
        ...

    def open(self, cache_dir: str | os.PathLike | None) -> ssi.Stream:
        """Opens the samples, with a binary copy in `cache_dir` where that is slow."""
        ...


@dataclasses.dataclass(frozen=True)
class Track:
    """One feature stream of one participant.

    Args:
      feature: what it should hold.
      path: the path of its header, or of its first table.
      rate: at which it is read, Hz.
      num_frames: that it spans, gaps included.
      header_rate: what the header says, Hz; differs from `rate` where that is wrong.
      source: the tables or the array that hold it; `None` for a stream.
      stops_early: it ends long before the recording; what follows is missing, while
        the last value of other tracks holds.
    """

    feature: FeatureConfig
    path: Path
    rate: float
    num_frames: int
    header_rate: float
    source: Source | None = None
    stops_early: bool = False

    @property
    def files(self) -> tuple[Path, ...]:
        """All files that hold it."""
        if self.source is None:
            return self.path, self.path.with_name(f"{self.path.name}~")
        return tuple(piece.path for piece in self.source.pieces)

    @property
    def seconds(self) -> float:
        """Duration of the stream."""
        return self.num_frames / self.rate

    def open(self, cache_dir: str | os.PathLike | None = None) -> ssi.Stream:
        """Opens the samples, `[num_frames, feature.dim]`, at `rate`.

        Raises:
          DataFormatError: if the file is malformed or not the one that was indexed.
        """
        if self.source is None:
            stream = ssi.read_stream(self.path, cache_dir=cache_dir or None)
        else:
            stream = self.source.open(cache_dir or None)
        if stream.data.shape != (self.num_frames, self.feature.dim):
            raise format_error(
                self.path,
                "data",
                expected=f"[{self.num_frames}, {self.feature.dim}], as indexed (index "
                "the corpus again if the file was replaced)",
                got=f"{list(stream.data.shape)}",
            )
        return dataclasses.replace(stream, sample_rate=self.rate)
