"""Writing of an archive from trained models or predictions, and checks of archives."""

import dataclasses
from pathlib import Path

from rich.console import Console

from damamba_jax.config.sections import DataConfig
from damamba_jax.data.corpus import index as corpus_index
from damamba_jax.data.corpus.label_source import Scale
from damamba_jax.data.open import open_corpus
from damamba_jax.errors import CorpusError, WorkdirError
from damamba_jax.files import replace_path
from damamba_jax.reporting.table import plain, show
from damamba_jax.runs.workdir import CONFIG, read_config
from damamba_jax.schema.release import RELEASED_FEATURES
from damamba_jax.submission.archive import Frames, write_archive
from damamba_jax.submission.check import Report, check_archive
from damamba_jax.submission.predictions import (
    Prediction,
    join_predictions,
    read_predictions,
)
from damamba_jax.submission.profiles import Profile
from damamba_jax.submission.scores import score_tables


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """A request to write an archive.

    Args:
      workdirs: workdirs of runs, which are evaluated first; folders of evaluations; or
        folders of predictions.
      profile: profile with the names and counts of the archive.
      folders: folders of the sets that are written; empty means all of the profile.
      root, labels_root: folders of a corpus and of its labels, if the corpus is not the
        one that was trained on; else empty.
      protocol, smoothing: settings of the evaluation; see `runs.evaluations.Settings`.
    """

    workdirs: tuple[str, ...]
    profile: Profile
    folders: tuple[str, ...] = ()
    root: str = ""
    labels_root: str = ""
    protocol: str = "stitched"
    smoothing: str = ""


def make_archive(
    request: Request, out: Path, *, overwrite: bool = False, console: Console
) -> None:
    """Writes an archive and checks it; an archive with problems is removed again.

    Args:
      request: the predictions and the form of the archive.
      out: path of the archive.
      overwrite: whether an existing file may be replaced.
      console: console for progress and tables.

    Raises:
      UsageError: if the profile has no set with one of the folders.
      WorkdirError: if the file exists and may not be replaced.
      CorpusError: if predictions are missing, or the archive has problems.
    """
    # What is wrong in the request itself is told before a corpus is read.
    request.profile.choose(request.folders)
    if out.exists() and not overwrite:
        raise WorkdirError(
            f"`--out`: {out} exists already. Name another file, or add --overwrite."
        )
    # A corpus that cannot be read is found before anything is evaluated.
    frames = known_frames(request)
    predictions = _gather(request, console)
    with replace_path(out) as part:
        written = write_archive(
            part, predictions, request.profile, folders=request.folders, frames=frames
        )
        console.print(f"{written}.")
        report = check_archive(
            part, request.profile, folders=request.folders, frames=frames
        )
        show_report(report, console)
        if report.problems:
            raise CorpusError(
                f"`--out`: {out} is not written, because it has {len(report.problems)} "
                "problems; --sets=A,B makes an archive of some sets only."
            )
    for table in score_tables(predictions):
        show(table, console)
    console.print(f"Written: {out}")


def show_report(report: Report, console: Console) -> None:
    """Prints the table of the sets, one line for each problem, and the conclusion."""
    if report.rows:
        show(report.table, console)
    for line in report.lines():
        console.print(plain(line), soft_wrap=True)
    number = len(report.problems)
    console.print(f"problems: {number}" if number else "accepted: no problem")


def count_frames(
    root: str, labels_root: str = "", *, data: DataConfig | None = None
) -> Frames:
    """Counts the frames of each person who is scored in a corpus.

    The number of lines that a challenge expects is that of the organisers' annotations.
    Test sets are released without them, and the streams of a session may differ by some
    frames. The longest released stream then counts, whatever features a model has: a
    reader cuts lines behind the end of the annotation, but misses frames without line.

    Args:
      root: folder of the corpus.
      labels_root: folder of the annotations; empty if they are beside the features.
      data: configuration of the run whose corpus it is. It has the files that are left
        out, and may have a layout, whose streams are those of the run's features;
        `None` reads a released corpus whole.

    Raises:
      CorpusError: if there is no corpus.
      DataFormatError: if the run cannot read a corpus with a layout of its own.
    """
    if data is not None and data.layout is not None:
        index = open_corpus(data, root=root, labels_root=labels_root)
    else:
        index = corpus_index.index(
            root,
            features=tuple(RELEASED_FEATURES.values()),
            labels_root=labels_root,
            exclude=data.exclude if data else (),
            strict=False,
        )
    return {
        (session.split, session.id, person.role): session.num_frames(seat)
        for session in index.sessions
        for seat, person in enumerate(session.participants)
        if person.is_target
    }


def _gather(request: Request, console: Console) -> list[Prediction]:
    """Reads the predictions of all workdirs; runs are evaluated first."""
    sets = request.profile.choose(request.folders)
    found: list[Prediction] = []
    for workdir in map(Path, request.workdirs):
        folder = workdir
        if (workdir / CONFIG).is_file():
            folder = _evaluate(request, workdir, console)
        found += read_predictions(folder, sets)
    return join_predictions(found)


def _evaluate(request: Request, workdir: Path, console: Console) -> Path:
    # These imports load JAX and the models, which predictions on disk do not need.
    from damamba_jax.runs.evaluations import Settings
    from damamba_jax.runtime.programs import keep_programs
    from damamba_jax.studies.evaluations import evaluate_runs

    keep_programs()
    data = read_config(workdir).data
    settings = Settings(
        workdirs=(str(workdir),),
        # A root that is the run's own must not look like another evaluation.
        root=_unless_same(request.root, data.root),
        labels_root=_unless_same(request.labels_root, data.labels_root),
        protocol="long" if request.protocol == "long" else "stitched",
        smoothing=request.smoothing,
    )
    return evaluate_runs(settings, num_pictures=0, console=console)


def _unless_same(path: str, known: str) -> str:
    """Returns a path, or an empty text if it is the same as the known path."""
    same = bool(path and known) and Path(path).resolve() == Path(known).resolve()
    return "" if same else path


def known_frames(request: Request) -> Frames:
    """Counts the frames of the corpora that a request is about.

    The people of a run are those whom its configuration leaves in, in the named root or
    in its own. A folder of predictions may have anybody in the named root.
    """
    folders = [Path(workdir) for workdir in request.workdirs]
    runs = [read_config(f).data for f in folders if (f / CONFIG).is_file()]
    corpora: list[DataConfig | None] = [*runs]
    if len(runs) < len(folders) and request.root:
        # Only a run knows the layout of a corpus that is not released. It may leave out
        # files because they are damaged. Its own lengths come last and so override.
        whole = [dataclasses.replace(d, exclude=(), on_error="skip") for d in runs]
        corpora = [*(whole or [None]), *runs]
    frames: dict[tuple[str, str, str], int] = {}
    counted = set[tuple[object, ...]]()
    for data in corpora:
        root = request.root or (data.root if data else "")
        labels_root = request.labels_root or (data.labels_root if data else "")
        corpus = (_resolve(root), _resolve(labels_root), *_reading(data))
        if root and corpus not in counted:
            counted.add(corpus)
            frames |= count_frames(root, labels_root, data=data)
    return frames


def _resolve(path: str) -> Path | None:
    return Path(path).expanduser().resolve() if path else None


def _reading(data: DataConfig | None) -> tuple[object, ...]:
    """Returns the settings that the result of `count_frames` depends on."""
    if data is None or data.layout is None:
        return (data.exclude if data else (),)
    scale = Scale.of(data)
    return (data.exclude, data.layout, data.features, scale, data.on_error)
