"""Extracts features of all recordings, and continues a run that was interrupted."""

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
from damamba_jax.data.formats.headers import MAX_HEADER_BYTES
from damamba_jax.data.formats.stream_header import StreamHeader, read_header
from damamba_jax.data.formats.stream_rows import read_notes, write_rows
from damamba_jax.errors import ConfigError, DataFormatError, printable
from damamba_jax.files import remove_unfinished
from damamba_jax.runs.workdir import hold
from damamba_jax.runtime.progress import ProgressLine
from damamba_jax.runtime.stop import StopRequest

_log = logging.getLogger(__name__)

_MADE_BY = "damamba extract"
# State of a recording that cannot be found any more.
_UNKNOWN = "unknown"
# A recording may be shorter than it claims by so many seconds, since the tracks of a
# file may differ in length.
_SHORT_SECONDS = 2


class Job(NamedTuple):
    """One feature of one person.

    Attributes:
      extractor: makes the feature.
      source: the recording.
      target: the header of the stream.
      notes: texts in the header that say how the stream was made. A stream with other
        notes was made from another recording or with other settings.
    """

    extractor: Extractor
    source: Path
    target: Path
    notes: dict[str, str]


class Summary(NamedTuple):
    """Numbers of streams that were written, were kept, and could not be made."""

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
    """Writes the streams of all people; streams that are complete are kept.

    If a recording cannot be opened or decoded, a line says so, and the others are
    extracted. The folder of the streams is locked meanwhile.

    Args:
      root: a corpus, a session, or one recording.
      out: the folder of the streams, `out/[SPLIT/]SESSION/ROLE.STEM.stream`.
      extractors: one extractor for each feature.
      stop: the request to stop, which is checked after every block. An unfinished
        stream is then removed.
      console: shows the progress, and a line about each stream.

    Raises:
      CorpusError: if there are no recordings.
      ConfigError: if a stream of another program would be overwritten.
      WorkdirError: if another process is extracting into the same folder.
    """
    jobs = _plan(find_people(root), out, extractors, console)
    for job in jobs:
        _check_free(job.target)
    with hold(out, work="extracting", flag="--out"):
        return _extract(jobs, out, stop, console)


def _extract(
    jobs: Sequence[Job], out: Path, stop: StopRequest, console: Console
) -> Summary:
    """Writes the streams that are not complete. No other process may write them."""
    waiting = [job for job in jobs if not _is_complete(job)]
    written = failed = done = 0
    lengths = [_seconds(job) for job in waiting]
    total = sum(lengths)
    if kept := len(jobs) - len(waiting):
        console.print(f"kept: {kept} streams, which are complete.")
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
                        f"{name}: the recording ends after {rows / ROW_HZ:.0f} s, but "
                        f"claims to last {seconds} s."
                    )
                written += 1
            done += seconds
        if waiting:
            progress(total, total)
    return Summary(written, kept, failed)


class _Count:
    """Counts rows as they are written, and shows the progress of the run."""

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
        """Counts the rows of a block."""
        self._rows += len(block)
        self._valid += int(np.isfinite(block).any(axis=1).sum())
        # The recording may be longer than its header claims.
        here = min(self._rows // ROW_HZ, self._seconds - 1)
        self._progress(self._done + here, self._total, note=self._name)


def _write(job: Job, count: _Count, stop: StopRequest) -> int:
    """Writes one stream; what it or a run before it left unfinished is removed."""

    def blocks() -> Iterator[np.ndarray]:
        for block in job.extractor.extract(job.source):
            stop.check()
            count.add(block)
            yield block
        stop.check()

    feature = job.extractor.feature
    remove = functools.partial(remove_unfinished, job.target)
    remove()
    with stop.protect(remove):
        return write_rows(
            job.target, blocks(), feature.rate, dim=feature.dim, notes=job.notes
        )


def _plan(
    people: Sequence[Person],
    out: Path,
    extractors: Sequence[Extractor],
    console: Console,
) -> list[Job]:
    """Lists the streams to make, and says how many people have recordings for each."""
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
    """Returns a text that changes if another recording takes this one's place."""
    try:
        status = source.stat()
    except OSError:
        return _UNKNOWN  # The same error comes again when the recording is read.
    return f"{status.st_size} bytes, {status.st_mtime_ns}"


def _seconds(job: Job) -> int:
    """Returns the seconds that a recording claims to last, at least 1."""
    try:
        return max(1, round(measure(job.source)))
    except DataFormatError:
        return 1  # The same error comes again when the recording is read.


def _is_complete(job: Job) -> bool:
    """Says whether a stream of this command is the same as this run would write."""
    if not job.target.exists():
        return False
    if job.notes["source"] == _UNKNOWN:
        _log.warning(
            "%s: it stays as it is, since the recording %s cannot be found any more.",
            job.target,
            job.source,
        )
        return False
    try:
        notes = read_notes(job.target)
        if notes == job.notes and _has_its_rows(read_header(job.target)):
            return True
    except DataFormatError:
        notes = job.notes
    if notes == job.notes:
        _log.warning("%s: it is damaged; the stream is made again.", job.target)
    else:
        odd = [key for key in job.notes if notes.get(key) != job.notes[key]]
        _log.warning(
            "%s: it was made with another %s; the stream is made again.",
            job.target,
            " and ".join(odd),
        )
    return False


def _has_its_rows(header: StreamHeader) -> bool:
    """Says whether the file of the samples has all rows that the header claims."""
    claimed = sum(chunk.num or 0 for chunk in header.chunks)
    data = header.data_path
    return data.is_file() and data.stat().st_size == claimed * header.row_bytes


def _check_free(target: Path) -> None:
    """Refuses to write over a stream that something else has made, or may have made."""
    if not target.exists():
        return
    made_by = _maker(target)
    if made_by is None and _has_samples(target):
        raise ConfigError(
            f"{target}: expected the header of a stream, got a blank file, which does "
            f"not say whether `{_MADE_BY}` has made the samples in {target.name}~. If "
            "it has, delete both files and run the same command again. Otherwise name "
            "another folder: --out=NEW."
        )
    if made_by not in (None, _MADE_BY):
        raise ConfigError(
            f"`--out`: expected only streams that `{_MADE_BY}` has made, got {target}, "
            "which something else has made. Name another folder."
        )


def _maker(target: Path) -> str | None:
    """Reads who has made a stream, even from a damaged header.

    Returns:
      The name of the program, which is empty if the header does not say; `None` if the
      header is blank. After a loss of power, a file may be empty or hold zeros.
    """
    try:
        return read_notes(target).get("made_by", "")
    except DataFormatError:
        with target.open("rb") as file:
            left = file.read(MAX_HEADER_BYTES)
        if not left.strip(b"\0"):
            return None
        return _MADE_BY if f'made_by="{_MADE_BY}"'.encode() in left else ""


def _has_samples(target: Path) -> bool:
    """Says whether there is a file of samples for a header, and is not empty."""
    data = target.with_name(f"{target.name}~")
    return data.is_file() and data.stat().st_size > 0
