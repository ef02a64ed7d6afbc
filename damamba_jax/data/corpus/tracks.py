"""Feature streams of participants, from stream files, tables or arrays."""

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
    """The tables or arrays that hold the samples of a track, in place of a stream."""

    @property
    def pieces(self) -> Sequence[Match]:
        """The files; there are none if the samples lie in memory."""
        ...

    def open(self, cache_dir: str | os.PathLike | None) -> ssi.Stream:
        """Opens the samples; `cache_dir` may keep a binary copy of them."""
        ...


@dataclasses.dataclass(frozen=True)
class Track:
    """One feature stream of one participant.

    Args:
      feature: the feature that the track should hold.
      path: the path of the stream's header, or of the first table.
      rate: the rate at which the samples are read, Hz.
      num_frames: number of frames, including those in gaps.
      header_rate: the rate in the header, Hz; it differs from `rate` if it is wrong.
      source: the tables or the array that hold the samples; `None` for a stream.
      stops_early: whether the track ends long before the recording. Its values are then
        missing from its end on, while the last value of any other track is held.
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
        """All files that hold the track."""
        if self.source is None:
            return self.path, self.path.with_name(f"{self.path.name}~")
        return tuple(piece.path for piece in self.source.pieces)

    @property
    def seconds(self) -> float:
        """Duration of the track, s."""
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
