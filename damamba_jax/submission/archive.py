"""Writes archives: one file for each person, one line for each frame."""

import dataclasses
import os
import zipfile
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from damamba_jax.errors import CorpusError
from damamba_jax.schema.release import ANNOTATIONS
from damamba_jax.submission.predictions import Prediction
from damamba_jax.submission.profiles import Profile

# By (split, session, role): how many frames a person's annotation has.
Frames = Mapping[tuple[str, str, str], int]

# The same predictions give the same bytes.
_DATE = (1980, 1, 1, 0, 0, 0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Written:
    """What was changed on the way into an archive.

    Args:
      files: how many were written.
      clipped: values that were outside of [0, 1].
      filled: frames without prediction, which took that of their neighbours.
      cut: frames behind the end of the annotation, which were left out.
    """

    files: int
    clipped: int
    filled: int
    cut: int

    def __str__(self) -> str:
        """Returns it in one line."""
        return (
            f"{self.files} files; {self.clipped} values were clipped to [0, 1], "
            f"{self.filled} frames without prediction were filled from their "
            f"neighbours, {self.cut} behind the end were left out"
        )


def write_archive(
    path: str | os.PathLike,
    predictions: Sequence[Prediction],
    profile: Profile,
    *,
    folders: Sequence[str] = (),
    frames: Frames | None = None,
) -> Written:
    """Writes the predictions of a profile's sets into a new archive.

    Args:
      path: of the archive.
      predictions: nobody twice; those of other sets are left out.
      profile: names of folders and files.
      folders: the only sets that are written; none means those of the profile.
      frames: how long annotations are; whoever is not in it has as many lines as the
        prediction.

    Raises:
      CorpusError: for somebody of whom nothing is predicted at all.
    """
    sets = {part: one for one in profile.choose(folders) for part in one.parts}
    clipped = filled = cut = 0
    files: dict[str, str] = {}
    for one in predictions:
        if one.part not in sets:
            continue
        place = (one.part.split, one.session, one.role)
        wanted = (frames or {}).get(place, len(one.values))
        values, classes = one.values[:wanted], ANNOTATIONS[one.part.annotation]
        if not np.isfinite(values).any():
            raise CorpusError(
                f"{one.source}: expected a prediction of {'/'.join(place)}, got none "
                "in any frame."
            )
        whole = fill(values, wanted, is_class=bool(classes))
        filled += wanted - int(np.isfinite(values).sum())
        cut += len(one.values) - len(values)
        if classes:
            lines = [classes[round(number)] for number in whole.tolist()]
        else:
            clipped += int(((values < 0) | (values > 1)).sum())
            # Of -0.0 nothing but the sign would be written.
            lines = [f"{value:.6f}" for value in (whole.clip(0, 1) + 0.0).tolist()]
        name = profile.path(sets[one.part], one.session, one.role, one.part.annotation)
        files[name] = "\n".join(lines) + "\n"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            info = zipfile.ZipInfo(name, _DATE)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = 0o644 << 16
            archive.writestr(info, files[name])
    return Written(files=len(files), clipped=clipped, filled=filled, cut=cut)


def fill(
    values: Float[np.ndarray, "T"], frames: int, *, is_class: bool = False
) -> Float[np.ndarray, "frames"]:
    """Fills gaps, head and tail: every frame has a line of its own.

    Args:
      values: at least one of them finite.
      frames: how many there shall be, at least as many as there are.
      is_class: whether gaps take the value of the nearest frame; they are
        interpolated otherwise. Head and tail always do so.
    """
    known = np.flatnonzero(np.isfinite(values))
    time = np.arange(frames)
    if not is_class:
        return np.interp(time, known, values[known])
    middles = (known[1:] + known[:-1]) / 2
    return values[known[np.searchsorted(middles, time)]]
