"""Key points of OpenPose: one JSON file for each frame, one row for each person.

Format: https://github.com/CMU-Perceptual-Computing-Lab/openpose, doc/02_output.md.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from damamba_jax.data.formats.tables import Block, check_columns
from damamba_jax.errors import format_error

MAX_BYTES = 1 << 24
MAX_PEOPLE = 1000

# Groups of points in the file, and how many points each has at most.
_GROUPS = {
    "pose": ("pose_keypoints_2d", 25),
    "face": ("face_keypoints_2d", 70),
    "hand_left": ("hand_left_keypoints_2d", 21),
    "hand_right": ("hand_right_keypoints_2d", 21),
}
_NAMES = tuple(
    f"{group}_{i}_{axis}"
    for group, (_, points) in _GROUPS.items()
    for i in range(points)
    for axis in ("x", "y", "c")
)


class OpenPoseTable:
    """Columns `pose_0_x`, `pose_0_y`, `pose_0_c`, ...; see `tables.Table`.

    The coordinates of a point with the confidence 0, which was not found, are NaN.
    """

    names = _NAMES

    def __init__(self, path: Path):
        self.path = path

    def blocks(
        self, numbers: Sequence[str], texts: Sequence[str] = ()
    ) -> Iterator[Block]:
        """Yields the people of the frame; see `tables.Table`."""
        check_columns(self, numbers)
        if texts:
            raise format_error(self.path, "rows", expected="no texts", got=f"{texts}")
        if self.path.stat().st_size > MAX_BYTES:
            raise format_error(
                self.path, "size", expected=f"up to {MAX_BYTES} bytes", got="more"
            )
        try:
            people = json.loads(self.path.read_bytes())["people"][:MAX_PEOPLE]
            rows = np.stack([_row(person) for person in people]) if people else None
        except (
            ValueError,
            TypeError,
            LookupError,
            AttributeError,
            OverflowError,
            RecursionError,
        ) as error:
            raise format_error(
                self.path, "people", expected="key points of OpenPose", got=f"{error!r}"
            ) from error
        if rows is None:
            yield Block(np.zeros((0, len(numbers))), ())
            return
        wanted = [_NAMES.index(name) for name in numbers]
        yield Block(rows[:, wanted], ())


def _row(person: dict) -> np.ndarray:
    parts = []
    for key, points in _GROUPS.values():
        found = np.asarray(person.get(key, []), np.float64).reshape(-1, 3)[:points]
        part = np.full((points, 3), np.nan)
        part[: len(found)] = found
        part[part[:, 2] == 0, :2] = np.nan
        parts.append(part.ravel())
    return np.concatenate(parts)
