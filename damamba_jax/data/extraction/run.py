"""Extracts features of all recordings, and goes on where a run was interrupted."""

import functools
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.console import Console

from damamba_jax.data.extraction.extractor import Extractor
from damamba_jax.data.extraction.media import ROW_HZ, measure
from damamba_jax.data.extraction.sources import Person, find_people
from damamba_jax.data.formats.stream_header import read_header, rows_by_size
from damamba_jax.data.formats.stream_rows import read_notes, write_rows
from damamba_jax.errors import ConfigError, DataFormatError, printable
from damamba_jax.files import remove_unfinished
from damamba_jax.runtime.progress import ProgressLine
from damamba_jax.runtime.stop import StopRequest

_log = logging.getLogger(__name__)

_MADE_BY = "damamba extract"
# By which a recording may be shorter than it claims: tracks differ in length.
_SHORT_SECONDS = 2


class Job(NamedTuple):
    """One feature of one person.

    Attributes:
      extractor: makes the feature.
      source: the recording.
      target: the header of the stream.
      notes: what is written into it, and tells streams apart that are made otherwise.
    """

    extractor: Extractor
    source: Path
    target: Path
    notes: dict[str, str]


class Summary(NamedTuple):
    """Streams that were written, that were there, and that could not be made."""

    written: int
    kept: int
    failed: int


def extract_recordings(
    root: Path,
    out: Path,
    extractors: Sequence[Extractor],
    *,
    stop: StopRequest,
    console: Console,
) -> Summary:
    """Writes the streams of all people; those that are complete are kept.

    A recording that cannot be decoded is said, and the others are extracted.

    Args:
      root: a corpus, a session, or one recording.
      out: the folder of the streams, `out/[SPLIT/]SESSION/ROLE.STEM.stream`.
      extractors: one for each feature.
      stop: asked after every block; what is unfinished then leaves nothing behind.
      console: for progress, and a line about each stream.

    Raises:
      CorpusError: if there are no recordings.
      ConfigError: if a stream is in the way that this did not make.
    """
    jobs = _plan(find_people(root), out, extractors, console)
    waiting = [job for job in jobs if not _is_complete(job)]
    for job in waiting:
        _check_free(job.target)
    written = failed = done = 0
    lengths = [_seconds(job) for job in waiting]
    total = sum(lengths)
    if kept := len(jobs) - len(waiting):
        console.print(f"kept: {kept} streams are complete.")
    with ProgressLine("extracting", console, unit="s of recordings") as progress:
        for job, seconds in zip(waiting, lengths, strict=True):
            name = printable(str(job.target.relative_to(out)))
            count = _Count(progress, done, seconds, total, name)
            try:
                rows = _write(job, count, stop)
            except DataFormatError as error:
                progress.say(f"not extracted: {printable(str(error))}")
                failed += 1
            else:
                progress.say(f"{name}: {rows} rows, {count.share:.1%} with a value")
                if rows < (seconds - _SHORT_SECONDS) * ROW_HZ:
                    progress.say(
                        f"{name}: the recording ends after {rows / ROW_HZ:.0f} s, and "
                        f"claims to have {seconds} s."
                    )
                written += 1
            done += seconds
        if waiting:
            progress(total, total)
    return Summary(written, kept, failed)


class _Count:
    """Counts rows while they go by, and shows how far the run has come."""

    def __init__(
        self, progress: ProgressLine, done: int, seconds: int, total: int, name: str
    ) -> None:
        self._progress, self._name = progress, name
        self._done, self._seconds, self._total = done, seconds, total
        self._rows = self._valid = 0

    @property
    def share(self) -> float:
        """Share of the rows that have a value."""
        return self._valid / max(self._rows, 1)

    def add(self, block: np.ndarray) -> None:
        """Counts a block."""
        self._rows += len(block)
        self._valid += int(np.isfinite(block).any(axis=1).sum())
        # A header may claim too little.
        here = min(self._rows // ROW_HZ, self._seconds - 1)
        self._progress(self._done + here, self._total, note=self._name)


def _write(job: Job, count: _Count, stop: StopRequest) -> int:
    """Writes one stream; a signal leaves nothing of what is not finished."""

    def blocks() -> Iterator[np.ndarray]:
        for block in job.extractor.extract(job.source):
            stop.check()
            count.add(block)
            yield block
        stop.check()

    feature = job.extractor.feature
    with stop.protect(functools.partial(remove_unfinished, job.target.parent)):
        return write_rows(
            job.target, blocks(), feature.rate, dim=feature.dim, notes=job.notes
        )


def _plan(
    people: Sequence[Person],
    out: Path,
    extractors: Sequence[Extractor],
    console: Console,
) -> list[Job]:
    """Lists what is to be made; says who has no recording of the kind."""
    jobs = []
    for extractor in extractors:
        feature = extractor.feature
        found = 0
        for person in people:
            source = person.source(extractor.medium)
            if source is None:
                continue
            found += 1
            file = f"{person.role}.{feature.stems[0]}.stream"
            jobs.append(
                Job(
                    extractor, source, out / person.folder / file,
                    {
                        "made_by": _MADE_BY,
                        "feature": feature.name,
                        "settings": extractor.settings,
                        "source": _state(source),
                    },
                )
            )  # fmt: skip
        console.print(
            f"{feature.name}: {found} of {len(people)} people have {extractor.medium}."
        )
        if extractor.notice:
            console.print(extractor.notice)
    return jobs


def _state(source: Path) -> str:
    """Tells whether a recording is still the one that was read."""
    status = source.stat()
    return f"{status.st_size} bytes, {status.st_mtime_ns}"


def _seconds(job: Job) -> int:
    """How long a recording claims to be, at least 1; errors come when it is read."""
    try:
        return max(1, round(measure(job.source)))
    except DataFormatError:
        return 1


def _is_complete(job: Job) -> bool:
    """Whether a stream is there as this run would write it."""
    if not job.target.exists():
        return False
    notes = read_notes(job.target)
    if notes == job.notes:
        header = read_header(job.target)
        if header.data_path.exists() and rows_by_size(header) == [header.chunks[0].num]:
            return True
        _log.warning("%s: samples are missing; made anew.", job.target)
    elif notes.get("made_by") == _MADE_BY:
        odd = [key for key in job.notes if notes.get(key) != job.notes[key]]
        _log.warning("%s: other %s; made anew.", job.target, " and ".join(odd))
    return False


def _check_free(target: Path) -> None:
    """Refuses to write over a stream that something else has made."""
    if target.exists() and read_notes(target).get("made_by") != _MADE_BY:
        raise ConfigError(
            f"`--out`: expected no streams but those of `{_MADE_BY}`, got {target}, "
            "which it did not make. Name another folder."
        )
