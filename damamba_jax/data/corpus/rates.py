"""Sample rates of streams whose headers are wrong.

Streams of the 2023-24 extractions carry `sr=40`, which is the stride in milliseconds,
for samples at 25 Hz. A header's rate stays when it is the feature's nominal one, or
when it gives the duration of the recording, known from its labels or from another
stream, within 5 %. Otherwise the rate is frames / duration if that is a usual rate
within 2 %. If it is none, the stream or the labels stop early, at their own rate.
"""

import os
import statistics
from collections.abc import Mapping, Sequence

from damamba_jax.errors import format_error

# A file at another rate than its feature is read at its own, up to so many times as
# fast or as slow. A window takes memory for each of its frames.
MAX_RATIO = 20.0
MAX_HOURS = 24.0
TOLERANCE = 0.05
SNAP = 0.02
USUAL_RATES = (2.0, 25.0, 30.0, 40.0)


def is_possible(rate: float, nominal: float) -> bool:
    """Whether a feature may have such a rate, where `nominal` is expected."""
    return nominal / MAX_RATIO <= rate <= nominal * MAX_RATIO


def check_rate(
    path: str | os.PathLike, rate: float, *, nominal: float, name: str
) -> None:
    """Refuses times of rows that cannot be.

    Args:
      path: file that the error names.
      rate: frames per second, as the times say, Hz.
      nominal: rate that the feature should have, Hz.
      name: of the feature.

    Raises:
      DataFormatError: if the rate is far from the nominal one.
    """
    if not is_possible(rate, nominal):
        raise format_error(
            path,
            "time",
            expected=f"about {nominal:g} rows in a second (`features.{name}.rate`; or "
            f"set `features.{name}.table.time_unit`)",
            got=f"{rate:.4g}",
        )


def check_length(path: str | os.PathLike, num_frames: int, rate: float) -> None:
    """Refuses what would be longer than a day.

    Args:
      path: file that the error names.
      num_frames: its frames.
      rate: frames per second, Hz.

    Raises:
      DataFormatError: if nobody can have recorded that in one go.
    """
    hours = num_frames / rate / 3600
    if hours > MAX_HOURS:
        raise format_error(
            path,
            "frames",
            expected=f"at most {MAX_HOURS:g} hours",
            got=f"{num_frames} frames at {rate:g} Hz, {hours:.4g} hours",
        )


def repair_rate(
    num_frames: int, header_rate: float, *, duration: float | None, nominal: float
) -> float:
    """Returns the rate at which `num_frames` cover the recording, Hz.

    Args:
      num_frames: frames on disk.
      header_rate: what the header says, Hz; 0 where it says nothing.
      duration: the duration of the recording, s; `None` when nothing tells.
      nominal: rate that the feature should have, Hz.
    """
    if duration is None or not duration > 0:
        return header_rate or nominal
    if header_rate and (
        is_snapped(header_rate, nominal) or fits(num_frames / header_rate, duration)
    ):
        return header_rate
    rate = num_frames / duration
    usual = [r for r in (nominal, *USUAL_RATES) if is_snapped(rate, r)]
    if usual:
        return usual[0]
    claimed = [header_rate, nominal] if header_rate else [nominal]
    return min(claimed, key=lambda r: max(r / rate, rate / r))


def fits(seconds: float, duration: float) -> bool:
    """Whether a stream lasts about as long as its session."""
    return abs(seconds - duration) <= TOLERANCE * duration


def is_snapped(rate: float, usual: float) -> bool:
    """Whether a rate is so near a usual one that it is taken for it."""
    return abs(rate - usual) <= SNAP * usual


def reference_duration(
    labels: Sequence[float], streams: Mapping[str, tuple[int, float]]
) -> float | None:
    """Returns how long a recording lasts, s; `None` when nothing tells.

    The first label file counts that agrees with most streams, or differs from them by
    a header's wrong rate. When none does, labels are cut short if two streams or more,
    the majority, agree on a duration. Without labels it is the OpenPose stream, whose
    rate was always right, or else the upper median of the streams (wrong headers claim
    too high a rate, and so too short a duration).

    Args:
      labels: durations of label files, the participant's own one first, s.
      streams: frames and header rate of each stream by name.
    """
    seconds = {k: frames / rate for k, (frames, rate) in streams.items() if rate}
    middle = statistics.median_high(seconds.values()) if seconds else None
    known = [value for value in labels if value > 0]
    if not known:
        return seconds.get("openpose", middle)
    if middle is None:
        return known[0]
    agree = [name for name, value in seconds.items() if fits(value, middle)]
    for value in known:
        implied = [streams[name][0] / value for name in agree]
        explained = (is_snapped(r, usual) for r in implied for usual in USUAL_RATES)
        if fits(middle, value) or any(explained):
            return value
    cut = len(agree) >= 2 and 2 * len(agree) > len(seconds)
    return middle if cut else known[0]
