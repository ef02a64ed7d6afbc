"""Tracks whose header gives a wrong rate, at the rate that they have."""

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
    """A track, and what is odd about its rate: a key and a text, or nothing."""

    track: Track
    about: str = ""
    text: str = ""


def claimed_rate(track: Track) -> float:
    """The rate that a header gives; 0 where it gives none, or one that cannot be."""
    rate = track.header_rate
    return rate if rates.is_possible(rate, track.feature.rate) else 0.0


def repair(track: Track, duration: float | None, split: str) -> Repaired:
    """Gives a stream its rate; see `rates.py`.

    Args:
      track: a stream, at the rate of its header.
      duration: of the recording, s; `None` when nothing tells.
      split: for the log.

    Raises:
      DataFormatError: for a stream of more than a day, or one with gaps that were
        placed at a rate that cannot be.
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
        text += f"last {duration or 0.0:.1f} s; kept, since it has gaps that were "
        return Repaired(track, "gaps", f"{text}placed at that rate")
    # The same for every session of a split, as a rule: one line in the log.
    warn_once(
        _log,
        f"{split}: {name} has {said} in its headers, but lasts as long as at "
        f"{rate:.4g} Hz; read at that rate.",
    )
    return Repaired(dataclasses.replace(track, rate=rate))


def _impossible(track: Track, rate: float, *, has_gaps: bool) -> Repaired:
    """A track whose header gives a rate that nobody records at."""
    nominal, field = track.feature.rate, f"features.{track.feature.name}.rate"
    if has_gaps:
        raise format_error(
            track.path,
            "info.sr",
            expected=f"a rate near {nominal:g} Hz (`{field}`)",
            got=f"{track.header_rate:g}",
        )
    text = f"{track.feature.name} has sr={track.header_rate:g} in its header, far from "
    text += f"{nominal:g} Hz (`{field}`); read at {rate:.4g} Hz"
    return Repaired(dataclasses.replace(track, rate=rate), "rate of", text)
