"""Extractors: what all of them share, and the two ways in which they go over time."""

import abc
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from damamba_jax.array_types import Float
from damamba_jax.config.sections import FeatureConfig
from damamba_jax.data.extraction.media import (
    ROW_HZ,
    SOUND_HZ,
    Shown,
    count_rows,
    read_pictures,
    read_sound,
)

SAMPLES_PER_ROW = SOUND_HZ // ROW_HZ
# The releases describe this row's 40 ms and the 960 ms before.
WINDOW_SAMPLES = SOUND_HZ
# Of rows that are the same because one picture is shown for all of them.
_MAX_BLOCK = 4096


class Extractor(abc.ABC):
    """Turns one recording after another into rows of one feature.

    A subclass loads its library when it is made, and says what is missing.

    Attributes:
      feature: name, columns and file names.
      medium: which track of a recording it takes.
      model_flag: the flag `--model.NAME` that says where its weights lie, if any.
      notice: what a user must know before using it, e.g. a licence.
      settings: what the numbers depend on beside the recording, e.g. versions.
    """

    feature: ClassVar[FeatureConfig]
    medium: ClassVar[Literal["sound", "video"]]
    model_flag: ClassVar[str] = ""
    notice: ClassVar[str] = ""
    settings: str

    @abc.abstractmethod
    def __init__(self, model: Path | None = None) -> None:
        """Loads what it needs.

        Args:
          model: where the weights lie, if it has a `model_flag`.

        Raises:
          ConfigError: if a package or the weights are missing; it says what to do.
        """

    @abc.abstractmethod
    def extract(self, path: Path) -> Iterator[Float[np.ndarray, "rows dim"]]:
        """Reads a recording and gives the rows in blocks; NaN where there is no value.

        Raises:
          DataFormatError: if it cannot be decoded, or holds not a single row.
        """

    def missing(self, rows: int) -> Float[np.ndarray, "rows dim"]:
        """Makes rows without a value."""
        return np.full((rows, self.feature.dim), np.nan, np.float32)


class WindowExtractor(Extractor):
    """Describes the second of sound that ends with each row.

    Before the first second is over, a window holds what there is.
    """

    medium = "sound"
    # Windows that are described in one go.
    batch: int = ROW_HZ

    @abc.abstractmethod
    def describe(self, windows: Sequence[np.ndarray]) -> Float[np.ndarray, "rows dim"]:
        """Describes windows of equal length, `[samples]` each.

        Windows are short at the start of a recording: 40 ms at least.
        """

    def extract(self, path: Path) -> Iterator[Float[np.ndarray, "rows dim"]]:
        """Describes a recording; see `Extractor`."""
        for _, group in itertools.groupby(windows(read_sound(path)), key=len):
            for some in batches(group, self.batch):
                yield self.describe(some)


class PictureExtractor(Extractor):
    """Describes the picture that is shown at the time of each row."""

    medium = "video"
    # Pictures that are described in one go.
    batch: int = 16

    @abc.abstractmethod
    def begin(self) -> Callable[[Sequence[Shown]], Float[np.ndarray, "n dim"]]:
        """Starts a recording; what it returns describes its pictures, in order."""

    def extract(self, path: Path) -> Iterator[Float[np.ndarray, "rows dim"]]:
        """Describes a recording; see `Extractor`."""
        describe = self.begin()
        for group in batches(read_pictures(path), self.batch):
            seen = [shown for shown in group if shown.image is not None]
            found = iter(describe(seen) if seen else ())
            for shown in group:
                row = self.missing(1) if shown.image is None else next(found)[None]
                for done in range(0, shown.rows, _MAX_BLOCK):
                    yield np.repeat(row, min(_MAX_BLOCK, shown.rows - done), axis=0)


def windows(blocks: Iterable[Float[np.ndarray, "..."]]) -> Iterator[np.ndarray]:
    """Cuts sound into the window of each row: at most `WINDOW_SAMPLES`, and its end.

    Args:
      blocks: samples at `SOUND_HZ`, in blocks of any length.
    """
    held = np.zeros(0, np.float32)
    # Position in `held` at which the next row begins, and samples so far.
    begin, total, given = 0, 0, 0
    for block in blocks:
        held = np.concatenate([held, block])
        total += len(block)
        while begin + SAMPLES_PER_ROW <= len(held):
            end = begin + SAMPLES_PER_ROW
            yield held[max(0, end - WINDOW_SAMPLES) : end]
            begin, given = end, given + 1
        cut = max(0, begin - WINDOW_SAMPLES)
        held, begin = held[cut:], begin - cut
    if count_rows(total / SOUND_HZ) > given:
        # The rest of the last row is silent.
        end = begin + SAMPLES_PER_ROW
        held = np.pad(held, (0, end - len(held)))
        yield held[max(0, end - WINDOW_SAMPLES) : end]


def batches(items: Iterable, size: int) -> Iterator[list]:
    """Gives items in lists of `size`; the last one may be shorter."""
    remaining = iter(items)
    while some := list(itertools.islice(remaining, size)):
        yield some
