"""Scores a trained model on every split that is on disk.

    python -m damamba_jax.evaluate --workdir=DIR

Whole sessions are predicted, stitched from the cores of the model's windows or in one
long pass. Splits with annotations are scored, the others get one prediction file per
person. Tables go to `results.md` and `results.json`, pictures to `pictures/`, and all
predictions to `traces/`.

    python -m damamba_jax.evaluate --workdir=A --workdir=B --ensemble

puts several models into one table, and with `--ensemble` the mean of their predictions
as one more row.
"""

import argparse
import dataclasses
import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console

from damamba_jax import ensemble, pictures, report, scoring, trace_files
from damamba_jax.checkpoint import load_checkpoint
from damamba_jax.command_line import USER_ERRORS, show_log
from damamba_jax.config import ConfigError, DataConfig, SmoothingConfig
from damamba_jax.data import corpora, simulate
from damamba_jax.metrics import Trace
from damamba_jax.progress import ProgressLine
from damamba_jax.results import Result, SplitResult, origin_mark
from damamba_jax.ridge import Ridge
from damamba_jax.smoothing import parse_smoothing, smooth_traces
from damamba_jax.splits import EvaluationSplit, evaluation_splits
from damamba_jax.stitch import Estimator, Mode, predict_sessions
from damamba_jax.stop import StopRequest

_log = logging.getLogger(__name__)


def evaluate(
    estimator: Estimator,
    index: corpora.CorpusIndex,
    *,
    out: Path,
    splits: Sequence[str] = (),
    protocol: Mode = "stitched",
    batch_size: int = 0,
    num_pictures: int = 4,
    ridge: bool | None = None,
    smoothing: SmoothingConfig | None = None,
    should_stop: Callable[[], bool] | None = None,
    console: Console | None = None,
) -> Result:
    """Predicts and scores; writes traces, pictures, predictions of unlabelled people.

    Args:
      estimator: the model; its configuration says what it was trained on.
      index: the corpus.
      out: folder for `traces/`, `predictions/` and `pictures/`.
      splits: names; none means every split that was not trained on.
      protocol: `"stitched"` from core frames, or one `"long"` pass per session.
      batch_size: windows per batch; 0 takes the training configuration's.
      num_pictures: timelines per split, spread from the worst session to the best.
      ridge: fit the per-frame ridge regression on the training sessions for
        comparison; `None` does so on simulated corpora.
      smoothing: of the predictions; `None` takes the configuration's.
      should_stop: asked before each batch.
      console: for progress and messages.

    Raises:
      ConfigError: for a smoothing that sees the future of a forward model.
      Stopped: once `should_stop` says so.
    """
    console = console or Console()
    config = estimator.config
    if smoothing is not None:
        config = dataclasses.replace(config, smoothing=smoothing)
    data = config.data
    chosen = evaluation_splits(index, data, splits)
    mark = origin_mark(estimator.simulated, index.simulated)
    if ridge is None:
        found = {session.split for session in index.sessions}
        ridge = index.simulated and found.issuperset(data.train_splits)
    baseline = None
    if ridge:
        baseline = scoring.fit_baseline(
            index, data, estimator.statistics, should_stop=should_stop, console=console
        )
    found = []
    for split in chosen:
        title = split.name if mark == "ours" else f"{split.name} ({mark})"
        with ProgressLine(title, console) as progress:
            traces = predict_sessions(
                estimator,
                split.sessions,
                protocol=protocol,
                batch_size=batch_size,
                split=split.name,
                progress=progress,
                should_stop=should_stop,
            )
        traces = smooth_traces(traces, config.smoothing)
        trace_files.write_traces(out, traces)
        found.append(
            dataclasses.replace(
                _score_and_show(split, traces, out, mark, num_pictures, baseline),
                oracle=scoring.find_oracle(index, split.name, config, protocol),
            )
        )
    return Result(
        method=estimator.config.name,
        step=estimator.step,
        protocol=protocol,
        trained_on_simulated=estimator.simulated,
        scored_on_simulated=index.simulated,
        splits=tuple(found),
        smoothing=str(config.smoothing),
    )


def evaluate_ensemble(
    results: Sequence[Result],
    folders: Sequence[Path],
    index: corpora.CorpusIndex,
    data: DataConfig,
    *,
    out: Path,
    splits: Sequence[str] = (),
    num_pictures: int = 4,
) -> Result:
    """Scores the mean of several models' predictions, on the splits that all have.

    Args:
      results: of `evaluate`, one per model.
      folders: the `out` of each, with its `traces/`.
      index: the corpus.
      data: says what each split is.
      out: folder for the same of the ensemble.
      splits: as `evaluate` was given them.
      num_pictures: timelines per split.

    Raises:
      ConfigError: if the models were not evaluated on the same recordings.
    """
    found = [{split.split for split in result.splits} for result in results]
    scored = {}
    for split in evaluation_splits(index, data, splits):
        if not all(split.name in names for names in found):
            continue
        members = [trace_files.read_traces(folder, split.name) for folder in folders]
        traces = ensemble.average_traces(members)
        trace_files.write_traces(out, traces)
        mark = results[0].mark
        scored[split.name] = _score_and_show(split, traces, out, mark, num_pictures)
    return ensemble.combine(results, scored)


def _score_and_show(
    split: EvaluationSplit,
    traces: Sequence[Trace],
    out: Path,
    mark: str,
    num_pictures: int,
    baseline: Ridge | None = None,
) -> SplitResult:
    """Scores a split, draws it, and writes predictions where nothing can be scored."""
    scoring.write_predictions(traces, out / "predictions")
    pictures.draw_split(
        out / "pictures", traces, num_timelines=num_pictures,
        mark="" if mark == "ours" else mark,
    )  # fmt: skip
    return dataclasses.replace(
        scoring.score_split(split, traces, baseline),
        predictions=str(out / "predictions"),
    )


def publish(
    results: Sequence[Result], out: Path, *, console: Console | None = None
) -> None:
    """Writes all tables, `results.md` and `results.json`; prints the main ones."""
    console = console or Console()
    report.write_markdown(out / "results.md", results)
    report.write_json(out / "results.json", results)
    for table in report.tables(results):
        if table.title.startswith("By "):
            continue
        report.show(table, console)
    for line in report.unlabelled_lines(results):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    mark = "simulated " if any(r.scored_on_simulated for r in results) else ""
    console.print(
        f"Written: {mark}{out / 'results.md'} and {out / 'results.json'}",
        markup=False, highlight=False, soft_wrap=True,
    )  # fmt: skip


def open_corpus(
    data: DataConfig,
    *,
    root: str = "",
    labels_root: str = "",
    console: Console | None = None,
) -> corpora.CorpusIndex:
    """Indexes `root`, or else the corpus of `data`; without any, the simulated one."""
    root = root or data.root
    if not root:
        title = f"writing the simulated corpus {data.simulated!r}"
        with ProgressLine(title, console or Console(), unit="sessions") as line:
            root = str(
                simulate.ensure_corpus(
                    data.simulated,
                    data.cache_dir,
                    progress=lambda progress: line(progress.done, progress.total),
                )
            )
    return corpora.index(
        root,
        features=data.features,
        labels_root=labels_root or data.labels_root,
        layout=data.layout,
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    options = _parser().parse_args(argv)
    show_log()
    # Every file appears in one move and nothing needs saving: without `protect` a
    # signal ends the process at once, within a compilation too.
    with StopRequest():
        try:
            _run(options, Console())
        except USER_ERRORS as error:
            sys.exit(f"error: {error}")
    return 0


def _run(options: argparse.Namespace, console: Console) -> None:
    several = len(options.workdir) > 1
    if options.ensemble and not several:
        raise ConfigError("`--ensemble`: expected two workdirs or more, got one.")
    # A table of several is not the first one's own.
    out = Path(options.out or options.workdir[0])
    if several and not options.out:
        out = out / "compared"
    if options.protocol == "long" and not options.out:
        out = out / "long"
    # The run's own predictions stay as they were.
    if options.smoothing and not options.out:
        out = out / "smoothed"
    names = _names(options.workdir)
    # Several models share the tables only.
    folders = [out / name if several else out for name in names]
    splits = tuple(filter(None, options.splits.split(",")))
    smoothing = parse_smoothing(options.smoothing) if options.smoothing else None
    results = []
    for workdir, name, folder in zip(options.workdir, names, folders, strict=True):
        estimator = load_checkpoint(workdir)
        index = open_corpus(
            estimator.config.data,
            root=options.root,
            labels_root=options.labels_root,
            console=console,
        )
        for problem in index.problems:
            _log.warning("%s", problem)
        result = evaluate(
            estimator,
            index,
            out=folder,
            splits=splits,
            protocol=options.protocol,
            batch_size=options.batch_size,
            num_pictures=options.pictures,
            ridge={"auto": None, "yes": True, "no": False}[options.ridge],
            smoothing=smoothing,
            console=console,
        )
        if several and name != result.method:
            method = f"{result.method} ({name})"
            result = dataclasses.replace(result, method=method)
        results.append(result)
    if options.ensemble:
        # All of them predicted the same people, or averaging says who differs.
        results.append(
            evaluate_ensemble(
                results, folders, index, estimator.config.data,
                out=out / "ensemble", splits=splits, num_pictures=options.pictures,
            )
        )  # fmt: skip
    publish(results, out, console=console)


def _names(workdirs: Sequence[str]) -> list[str]:
    """Tells folders apart by their own name, or by as much of their path as it takes.

    Raises:
      ConfigError: if one is given twice.
    """
    parts = [Path(workdir).absolute().parts for workdir in workdirs]
    if len(set(parts)) < len(parts):
        raise ConfigError(f"`--workdir`: expected each folder once, got {workdirs}.")
    for length in range(1, max(map(len, parts)) + 1):
        names = ["-".join(part[-length:]).replace("/", "") for part in parts]
        if len(set(names)) == len(names):
            break
    return names


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m damamba_jax.evaluate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "--workdir",
        required=True,
        action="append",
        metavar="DIR",
        help="of a training run; given several times, the rows stand in one table",
    )
    add(
        "--ensemble",
        action="store_true",
        help="one more row: the mean of the workdirs' predictions",
    )
    add("--root", default="", metavar="DIR", help="corpus, if not the trained one's")
    add("--labels_root", default="", metavar="DIR", help="annotations, if elsewhere")
    add(
        "--splits",
        default="",
        metavar="A,B",
        help="e.g. noxi/test-base,noxi/val; default: all that were not trained on",
    )
    add("--protocol", default="stitched", choices=("stitched", "long"))
    add(
        "--out",
        default="",
        metavar="DIR",
        help="default: the workdir (`compared` in the first of several), or `long` or "
        "`smoothed` in it",
    )
    add("--batch_size", default=0, type=int, help="windows; default: as in training")
    add("--pictures", default=4, type=int, metavar="N", help="timelines per split")
    add(
        "--ridge",
        default="auto",
        choices=("auto", "yes", "no"),
        help="per-frame ridge regression for comparison; auto: on simulated corpora",
    )
    add(
        "--smoothing",
        default="",
        metavar="KIND:SECONDS",
        help="of predictions: none, exponential:S (causal) or gaussian:S; choose it on "
        "validation data; default: the configuration's",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
