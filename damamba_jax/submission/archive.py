"""Writing of archives, with one file for each person and one line for each frame."""

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

# Number of frames of a person's annotation, by (split, session, role).
Frames = Mapping[tuple[str, str, str], int]

# A fixed date, so that the same predictions give the same bytes.
_DATE = (1980, 1, 1, 0, 0, 0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Written:
    """Numbers of files, and of changes that were made for an archive.

    Args:
      files: number of files that were written.
      clipped: number of values that were outside of [0, 1].
      filled: number of frames without a prediction, which got one from neighbours.
      cut: number of frames after the end of the annotation, which were left out.
    """

    files: int
    clipped: int
    filled: int
    cut: int

    def __str__(self) -> str:
        """Returns all numbers in one line."""
        return (
            f"{self.files} files; {self.clipped} values were clipped to [0, 1], "
            f"{self.filled} frames without prediction were filled from their "
            f"neighbours, {self.cut} frames after the end were left out"
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
      path: path of the archive.
      predictions: predictions with no person twice; those of other sets are left out.
      profile: profile with the names of folders and files.
      folders: folders of the sets that are written; empty means all of the profile.
      frames: lengths of the annotations; a person who is not listed gets as many lines
        as the prediction has frames.

    Raises:
      UsageError: if the profile has no set with one of the folders.
      CorpusError: if there is no prediction for any frame of a person.
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
            # Adding 0.0 turns -0.0 into 0.0, so that no sign is written.
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
    """Fills gaps, so that every frame has a value.

    Frames before the first value and after the last one take the nearest value.

    Args:
      values: values of the frames; at least one of them is finite.
      frames: number of frames of the result, at least as many as `values` has.
      is_class: whether a gap takes the value of the nearest frame; otherwise it is
        interpolated.
    """
    known = np.flatnonzero(np.isfinite(values))
    time = np.arange(frames)
    if not is_class:
        return np.interp(time, known, values[known])
    middles = (known[1:] + known[:-1]) / 2
    return values[known[np.searchsorted(middles, time)]]
