"""Cross-validation: how good a configuration is on people that it has never seen.

Every fold is a training run that neither learns from the fold's sessions nor chooses
anything by them. The run's predictions of these sessions are put together with those of
the other folds, and all are scored together. Classical regressions see the same folds.
A last run learns from all sessions and is the model to use, unless the user wants the
mean of the folds' models.
"""

import contextlib
import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from rich.console import Console

from damamba_jax.config.sections import Config, DataConfig
from damamba_jax.data.corpus.ceiling import Ceiling, human_ceiling
from damamba_jax.data.corpus.sessions import CorpusIndex
from damamba_jax.data.corpus.splits import HELD_OUT, session_name
from damamba_jax.data.open import open_corpus
from damamba_jax.evaluation import classical
from damamba_jax.evaluation.results import read_results
from damamba_jax.inference.ensemble import average_traces
from damamba_jax.metrics.trace import Trace
from damamba_jax.runs.bands import write_bands
from damamba_jax.runs.members import write_members
from damamba_jax.runs.traces import read_traces
from damamba_jax.runs.workdir import RESULTS
from damamba_jax.runtime.progress import ProgressLine
from damamba_jax.runtime.stop import StopRequest
from damamba_jax.studies.fold_rows import Corpora, FoldRows
from damamba_jax.studies.folds import By, choose_by, make_folds
from damamba_jax.studies.runs import Run, train_all, warn_of_oddities

# The run that learns from everybody.
FINAL = "final"

# The model to use: the one of a last run, the mean of the folds' models, or none.
Final = Literal["refit", "ensemble", "none"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """The plan of a cross-validation: all runs that it trains.

    Args:
      config: configuration of all runs; seed, sessions and delay differ.
      folds: names of the sessions of each fold.
      delays: delay of the annotations in seconds for each fold, and as the last entry
        for the run that learns from everybody.
      by: whether folds leave out sessions or people.
      seeds: seeds; every fold has a run for each seed.
      out: folder of the cross-validation.
      final: model to use in the end; `"refit"` needs one more run.
    """

    config: Config
    folds: tuple[tuple[str, ...], ...]
    delays: tuple[float, ...]
    by: By
    seeds: tuple[int, ...]
    out: Path
    final: Final = "refit"

    def workdir(self, fold: int, seed: int) -> Path:
        """Returns the workdir of the run of a fold, counted from 0, and a seed."""
        return self.out / "folds" / f"{fold:02d}-seed{seed}"

    def runs(self) -> list[Run]:
        """Lists the runs; all of them share their compiled programs."""
        runs = [
            Run(
                title=f"fold {fold + 1} of {len(self.folds)}, seed {seed}",
                config=self._configure(seed, sessions, self.delays[fold]),
                folder=self.workdir(fold, seed),
            )
            for seed in self.seeds
            for fold, sessions in enumerate(self.folds)
        ]
        if self.final == "refit":
            config = self._configure(self.seeds[0], (), self.delays[-1])
            last = Run(title="everybody", config=config, folder=self.out / FINAL)
            runs.append(last)
        return runs

    def members(self) -> list[Path]:
        """Lists the workdirs whose mean is the model to use."""
        folders = [run.folder for run in self.runs()]
        return {"refit": folders[-1:], "ensemble": folders, "none": []}[self.final]

    def _configure(self, seed: int, sessions: tuple[str, ...], delay: float) -> Config:
        data = dataclasses.replace(
            self.config.data, test_sessions=sessions, label_delay_seconds=delay
        )
        return dataclasses.replace(self.config, seed=seed, data=data)


class Method(NamedTuple):
    """One row of the pooled table.

    Attributes:
      title: title of the row.
      seeds: for each seed, the predictions of everybody who is rated; a method without
        random numbers has one entry.
      is_classical: whether the method is a classical one and not a network.
    """

    title: str
    seeds: list[list[Trace]]
    is_classical: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Findings:
    """The results of a cross-validation.

    Args:
      plan: the plan, whose runs were trained.
      simulated: whether the corpus is simulated.
      methods: the model, the mean of its seeds if there are several, and the classical
        methods.
      ceiling: agreement of the raters, if there are several.
    """

    plan: Plan
    simulated: bool
    methods: tuple[Method, ...]
    ceiling: Ceiling


def cross_validate(
    config: Config,
    out: Path,
    *,
    folds: int = 0,
    by: By | None = None,
    label_delays: Sequence[float] = (),
    seeds: Sequence[int] = (0,),
    jobs: int = 1,
    final: Final = "refit",
    stop: StopRequest,
    console: Console,
) -> Findings:
    """Trains the runs that are not trained yet, and pools the predictions.

    Args:
      config: configuration of all runs; seed, sessions and delay differ.
      out: folder of the cross-validation.
      folds: number of folds; 0 lets `make_folds` choose it.
      by: whether folds leave out sessions or people; `None` lets `choose_by` choose.
      label_delays: delays of the annotations in seconds; each fold chooses one of them
        by its training sessions. Empty means the delay of the configuration.
      seeds: seeds; every fold has a run for each seed.
      jobs: number of runs at a time.
      final: model to use in the end.
      stop: the object that watches for signals.
      console: console for the progress.

    Raises:
      Stopped: on a signal, after the state of all active runs was saved.
      TrainingError: if a run fails.
      ValueError: for bad configuration or data; the message says what to change.
    """
    index = open_corpus(config.data, console=console)
    warn_of_oddities(config.data, index)
    by = choose_by(index, config.data, by)
    dealt = make_folds(index, config.data, folds, by=by)
    corpora = _open_delayed(config.data, index, label_delays)
    plan = Plan(
        config=config,
        folds=dealt,
        delays=_choose_delays(config, dealt, corpora, stop, console),
        by=by,
        seeds=tuple(seeds),
        out=out,
        final=final,
    )
    title = f"{'simulated ' * index.simulated}{config.name}"
    is_same = set(plan.delays) == {config.data.label_delay_seconds}
    train_all(
        plan.runs(), title=title, jobs=jobs, stop=stop, console=console,
        index=index if is_same else None,
    )  # fmt: skip
    known = next(iter(corpora.values()))
    return Findings(
        plan=plan,
        simulated=index.simulated,
        methods=(*_read_models(plan), *_classical(plan, corpora, stop, console)),
        ceiling=human_ceiling([known[name] for names in dealt for name in names]),
    )


def _read_models(plan: Plan) -> list[Method]:
    """Reads the predictions of all runs; keeps bands and members of the last model."""
    models = [_read(plan, seed) for seed in plan.seeds]
    methods = [Method(plan.config.name, models)]
    # The models to use have seen everybody, so their errors on new people cannot be
    # measured. The errors of the folds' models are taken in their place.
    for folder in (plan.out, *[plan.out / FINAL] * (plan.final == "refit")):
        write_bands(folder, models[0])
    write_members(plan.out, plan.members())
    if len(models) > 1:
        methods.append(Method(f"mean of {len(models)} seeds", [average_traces(models)]))
    return methods


def _open_delayed(
    data: DataConfig, index: CorpusIndex, delays: Sequence[float]
) -> Corpora:
    """Opens the corpus once for each delay of its annotations."""
    found = {}
    for delay in dict.fromkeys(delays or [data.label_delay_seconds]):
        delayed = dataclasses.replace(data, label_delay_seconds=delay)
        same = delay == data.label_delay_seconds
        opened = index if same else open_corpus(delayed)
        found[delay] = {session_name(session): session for session in opened.sessions}
    return found


def _read(plan: Plan, seed: int) -> list[Trace]:
    """Reads the predictions of all rated people, from the runs that left them out."""
    found: list[Trace] = []
    for fold in range(len(plan.folds)):
        workdir = plan.workdir(fold, seed)
        (result,) = read_results(workdir / RESULTS)
        for split in result.splits:
            if split.split.endswith(HELD_OUT):
                found += read_traces(workdir, split.split)
    return [
        dataclasses.replace(trace, split=trace.split.removesuffix(HELD_OUT))
        for trace in found
        if trace.is_labelled
    ]


def _choose_delays(
    config: Config,
    folds: Sequence[Sequence[str]],
    corpora: Corpora,
    stop: StopRequest,
    console: Console,
) -> tuple[float, ...]:
    """Chooses a delay for each fold, and a last one for the run on everybody."""
    if len(corpora) == 1:
        return tuple(corpora) * (len(folds) + 1)
    reads = sum(map(len, folds)) + len(folds) + 1
    with _steps("delay of annotations", len(corpora) * reads, stop, console) as tell:
        rows = FoldRows(
            data=config.data, corpora=corpora, folds=folds, seed=0, tell=tell
        )
        return tuple(rows.choose_delay(i) for i in (*range(len(folds)), None))


def _classical(
    plan: Plan, corpora: Corpora, stop: StopRequest, console: Console
) -> list[Method]:
    """Fits and pools the classical methods on the same folds."""
    reads = len(set(plan.delays)) * sum(map(len, plan.folds))
    fits = len(plan.folds) * len(classical.KINDS)
    found: dict[str, list[Trace]] = {kind: [] for kind in classical.KINDS}
    with _steps("classical methods", reads + fits, stop, console) as tell:
        rows = FoldRows(
            data=plan.config.data, corpora=corpora, folds=plan.folds,
            seed=plan.seeds[0], tell=tell,
        )  # fmt: skip
        for fold, delay in enumerate(plan.delays[:-1]):
            for kind in classical.KINDS:
                found[kind] += rows.predict(kind, fold, delay)
    has_classes = bool(plan.config.data.classes)
    return [
        Method(classical.title_of(kind, has_classes=has_classes), [traces], True)
        for kind, traces in found.items()
    ]


@contextlib.contextmanager
def _steps(
    title: str, total: int, stop: StopRequest, console: Console
) -> Iterator[Callable[[], None]]:
    """Shows the progress of steps; a step calls the yielded function at its start."""
    steps = itertools.count()
    with ProgressLine(title, console, unit="steps") as line:

        def tell() -> None:
            stop.check()
            line(min(next(steps), total), total)

        yield tell
        line(total, total)
