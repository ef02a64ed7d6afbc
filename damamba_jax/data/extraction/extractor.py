"""Base classes of extractors, for all features and for those of windows or pictures."""

import abc
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
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

# Describes pictures, a row each.
Describe = Callable[[Sequence[Shown]], Float[np.ndarray, "n dim"]]

SAMPLES_PER_ROW = SOUND_HZ // ROW_HZ
# As in the releases, a window is the 40 ms of a row and the 960 ms before them.
WINDOW_SAMPLES = SOUND_HZ
# If one picture is shown for many rows, blocks have at most so many of them.
_MAX_BLOCK = 4096


class Extractor(abc.ABC):
    """Turns one recording after another into rows of one feature.

    A subclass loads its library when an instance is made. An error says what is
    missing.

    Attributes:
      feature: name, columns and file names of the feature.
      medium: the track of a recording that is read.
      model_flag: NAME of the flag `--model.NAME` that says where the weights lie; empty
        if there are none.
      notice: a text that a user must know before using the extractor, such as a
        licence.
      settings: a text with everything that the numbers depend on in addition to the
        recording, such as versions.
    """

    feature: ClassVar[FeatureConfig]
    medium: ClassVar[Literal["sound", "video"]]
    model_flag: ClassVar[str] = ""
    notice: ClassVar[str] = ""
    settings: str

    @abc.abstractmethod
    def __init__(self, model: Path | None = None) -> None:
        """Loads the library and the weights.

        Args:
          model: file or folder of the weights, if there is a `model_flag`.

        Raises:
          ConfigError: if a package or the weights are missing; the text says what to
            do.
        """

    @abc.abstractmethod
    def extract(self, path: Path) -> Iterator[Float[np.ndarray, "rows dim"]]:
        """Reads a recording and yields its rows in blocks; NaN where there is no value.

        Raises:
          DataFormatError: if the recording cannot be decoded, or has no sound or no
            picture.
        """

    def missing(self, rows: int) -> Float[np.ndarray, "rows dim"]:
        """Makes rows without a value."""
        return np.full((rows, self.feature.dim), np.nan, np.float32)


class WindowExtractor(Extractor):
    """Describes the second of sound that ends with each row.

    In the first second of a recording, windows are shorter.
    """

    medium = "sound"
    # So many windows are described at once.
    batch: int = ROW_HZ

    @abc.abstractmethod
    def describe(self, windows: Sequence[np.ndarray]) -> Float[np.ndarray, "rows dim"]:
        """Describes windows of equal length, `[samples]` each.

        Windows at the start of a recording are shorter, but have at least 40 ms.
        """

    def extract(self, path: Path) -> Iterator[Float[np.ndarray, "rows dim"]]:
        """Describes a recording; see `Extractor`."""
        for _, group in itertools.groupby(windows(read_sound(path)), key=len):
            for some in batches(group, self.batch):
                yield self.describe(some)


class PictureExtractor(Extractor):
    """Describes the picture that is shown at the time of each row."""

    medium = "video"
    # So many pictures are described at once.
    batch: int = 16

    @abc.abstractmethod
    def begin(self) -> AbstractContextManager[Describe]:
        """Starts a recording, and yields a function that describes its pictures.

        The function is called with one part of the pictures after the other, in order.
        What the recording took, such as threads of a library, is freed at the end.
        """

    def extract(self, path: Path) -> Iterator[Float[np.ndarray, "rows dim"]]:
        """Describes a recording; see `Extractor`."""
        with self.begin() as describe:
            for group in batches(read_pictures(path), self.batch):
                seen = [shown for shown in group if shown.image is not None]
                found = iter(describe(seen) if seen else ())
                for shown in group:
                    row = self.missing(1) if shown.image is None else next(found)[None]
                    for done in range(0, shown.rows, _MAX_BLOCK):
                        yield np.repeat(row, min(_MAX_BLOCK, shown.rows - done), axis=0)


def windows(blocks: Iterable[Float[np.ndarray, "..."]]) -> Iterator[np.ndarray]:
    """Yields the window of each row: the last `WINDOW_SAMPLES` before the row's end.

    Args:
      blocks: samples at `SOUND_HZ`, in blocks of any length.
    """
    held = np.zeros(0, np.float32)
    # Position in `held` at which the next row begins, and samples and rows so far.
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
    """Yields items in lists of `size`; the last list may be shorter."""
    remaining = iter(items)
    while some := list(itertools.islice(remaining, size)):
        yield some
