"""Corrects the rate of tracks whose header gives a wrong one."""

import dataclasses
import logging
from typing import NamedTuple

from damamba_jax.data.corpus import rates
from damamba_jax.data.corpus.tracks import Track
from damamba_jax.data.formats import stream_header
from damamba_jax.data.formats.headers import warn_once
from damamba_jax.errors import format_error

_log = logging.getLogger(__name__)


class Repaired(NamedTuple):
    """A track with its rate.

    Attributes:
      track: the track.
      about: the kind of problem with the rate; empty if there is none.
      text: what the problem is; empty if there is none.
    """

    track: Track
    about: str = ""
    text: str = ""


def claimed_rate(track: Track) -> float:
    """Returns the rate in the header; 0 if it gives none, or one that is impossible."""
    rate = track.header_rate
    return rate if rates.is_possible(rate, track.feature.rate) else 0.0


def repair(track: Track, duration: float | None, split: str) -> Repaired:
    """Gives a stream its true rate; see `rates.py`.

    Args:
      track: a stream, at the rate of its header.
      duration: the duration of the recording, s; `None` if it is unknown.
      split: the name of the split, for the log.

    Raises:
      DataFormatError: for a stream that is longer than a day, or one that has gaps and
        an impossible rate in its header.
    """
    claimed = claimed_rate(track)
    rate = rates.repair_rate(
        track.num_frames, claimed, duration=duration, nominal=track.feature.rate
    )
    rates.check_length(track.path, track.num_frames, rate)
    if rate == track.header_rate:
        return Repaired(track)
    has_gaps = stream_header.read_header(track.path).has_gaps
    if track.header_rate and not claimed:
        return _impossible(track, rate, has_gaps=has_gaps)
    name, said = track.feature.name, f"sr={track.header_rate:g}"
    if has_gaps:
        text = f"{name} has {said} in its header, but its {track.num_frames} frames "
        text += f"last {duration or 0.0:.1f} s; the rate is kept, since the gaps of "
        return Repaired(track, "gaps", f"{text}the stream were placed at that rate")
    # As a rule this is the same in every session of a split, so it is logged once.
    warn_once(
        _log,
        f"{split}: {name} has {said} in its headers, but its frames fit the length of "
        f"the recording at {rate:.4g} Hz; they are read at that rate.",
    )
    return Repaired(dataclasses.replace(track, rate=rate))


def _impossible(track: Track, rate: float, *, has_gaps: bool) -> Repaired:
    """Handles a track whose header gives an impossible rate."""
    nominal, field = track.feature.rate, f"features.{track.feature.name}.rate"
    if has_gaps:
        raise format_error(
            track.path,
            "info.sr",
            expected=f"a rate near {nominal:g} Hz (`{field}`)",
            got=f"{track.header_rate:g}",
        )
    text = f"{track.feature.name} has sr={track.header_rate:g} in its header, far from "
    text += f"{nominal:g} Hz (`{field}`); it is read at {rate:.4g} Hz"
    return Repaired(dataclasses.replace(track, rate=rate), "rate of", text)
