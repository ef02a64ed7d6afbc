"""Sample rates of streams whose headers are wrong.

Streams of the 2023-24 extractions carry `sr=40`, which is the stride in milliseconds,
for samples at 25 Hz. The rate of a header is kept if it is the nominal rate of the
feature. It is also kept if the frames at this rate last as long as the recording,
within 5 %; labels or another stream tell how long the recording is. Otherwise the rate
is frames / duration, if that is a usual rate within 2 %. If it is not a usual rate, the
stream or the labels stop early, and the stream has the header's rate or the nominal
rate, whichever is nearer to frames / duration.
"""

import os
import statistics
from collections.abc import Mapping, Sequence

from damamba_jax.errors import format_error

# The rate of a file may be so many times as fast or as slow as the nominal rate of its
# feature. There is a limit because a window takes memory for each of its frames.
MAX_RATIO = 20.0
MAX_HOURS = 24.0
TOLERANCE = 0.05
SNAP = 0.02
USUAL_RATES = (2.0, 25.0, 30.0, 40.0)


def is_possible(rate: float, nominal: float) -> bool:
    """Says whether a feature with the nominal rate `nominal` may have this rate."""
    return nominal / MAX_RATIO <= rate <= nominal * MAX_RATIO


def check_rate(
    path: str | os.PathLike, rate: float, *, nominal: float, name: str
) -> None:
    """Refuses a rate of rows that is not possible.

    Args:
      path: file that the error names.
      rate: frames per second according to the times of the rows, Hz.
      nominal: rate that the feature should have, Hz.
      name: the name of the feature.

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
    """Refuses a recording that is longer than a day.

    Args:
      path: file that the error names.
      num_frames: number of frames in the file.
      rate: frames per second, Hz.

    Raises:
      DataFormatError: if the frames last longer than `MAX_HOURS`.
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
      header_rate: the rate in the header, Hz; 0 if the header gives none.
      duration: the duration of the recording, s; `None` if it is unknown.
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
    """Says whether a stream lasts about as long as its session."""
    return abs(seconds - duration) <= TOLERANCE * duration


def is_snapped(rate: float, usual: float) -> bool:
    """Says whether a rate is so near to a usual one that it counts as the usual one."""
    return abs(rate - usual) <= SNAP * usual


def reference_duration(
    labels: Sequence[float], streams: Mapping[str, tuple[int, float]]
) -> float | None:
    """Returns how long a recording lasts, s; `None` if that is unknown.

    With labels, the duration is that of the first label file that agrees with the
    streams, or that would agree if a wrong rate in the headers were corrected. If no
    label file does, and most streams, at least two, agree on a duration, then the
    labels are cut short and the streams give the duration. Otherwise the first label
    file gives it. Without labels, the OpenPose stream gives the duration, since its
    rate was always right. If there is none, the upper median of the streams gives it:
    a wrong header claims a rate that is too high, and so a duration that is too short.

    Args:
      labels: durations of label files, s; the participant's own file comes first.
      streams: number of frames and rate in the header, by the name of the stream.
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
