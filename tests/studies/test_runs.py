"""Several runs under one display: in turn, side by side, stopped and failing."""

import io
import json
import multiprocessing
import os
import signal

import pytest
import training_child as child
from rich.console import Console

from damamba_jax.data.open import open_corpus
from damamba_jax.errors import TrainingError, WorkdirError
from damamba_jax.runs import workdir as run_folder
from damamba_jax.runtime import progress
from damamba_jax.runtime.stop import Stopped, StopRequest
from damamba_jax.studies import runs
from damamba_jax.studies.runs import Run


def make_runs(folder, count=2, **fields):
    """Runs of one seed each, of a few thousand parameters and two steps."""
    fields = {"model.scan": "reference", "train.steps": 2, "train.eval_every": 2,
              **fields}  # fmt: skip
    return [
        Run(
            title=f"seed {seed}",
            config=child.configure(folder / "cache", seed=seed, **fields),
            folder=folder / f"seed{seed}",
        )
        for seed in range(count)
    ]


def console():
    return Console(file=io.StringIO(), width=300)


def test_stopped_runs_go_on_with_the_next_one(tmp_path, monkeypatch):
    trained = []

    def pretend(config, folder, *, follow, **_):
        trained.append(folder.name)
        if len(trained) == 3:
            (folder / "checkpoints" / "last" / "1").mkdir(parents=True)
            raise Stopped("SIGTERM")
        (folder / "checkpoints" / "last" / "2").mkdir(parents=True)
        for name in ("results.json", "results.md"):
            (folder / name).write_text("{}")
        follow(2, 2, note="loss 1")

    monkeypatch.setattr(runs, "train", pretend)
    chosen, said = make_runs(tmp_path, 4), console()
    with StopRequest() as stop:
        with pytest.raises(Stopped):
            runs.train_all(chosen, title="four", stop=stop, console=said)
        runs.train_all(chosen, title="four", stop=stop, console=said)
    assert trained == ["seed0", "seed1", "seed2", "seed2", "seed3"]
    assert all(run.is_finished for run in chosen)
    assert "four: 8/8 steps" in said.file.getvalue()


@pytest.mark.parametrize("missing", ["results.json", "results.md"])
def test_a_run_is_finished_for_a_study_if_it_is_for_itself(
    missing, tmp_path, monkeypatch
):
    class GoesOn(Exception):
        pass

    def go_on(*_, **__):
        raise GoesOn

    monkeypatch.setattr(runs, "fit", go_on)
    (run,) = make_runs(tmp_path, 1)
    with run_folder.claim(run.folder, run.config):
        (run.folder / "checkpoints" / "last" / "2").mkdir(parents=True)
    for name in {"results.json", "results.md"} - {missing}:
        (run.folder / name).write_text("{}")
    # A kill between two files of results leaves one of them.
    assert not run.is_finished
    with StopRequest() as stop, pytest.raises(GoesOn):
        runs.train(run.config, run.folder, stop=stop, console=console())
    for name in ("results.json", "results.md"):
        (run.folder / name).write_text("of an old version")
    assert run.is_finished
    said = console()
    with StopRequest() as stop:
        runs.train(run.config, run.folder, stop=stop, console=said)
    assert "this run is finished" in said.file.getvalue()


def test_an_evaluation_during_the_training_does_not_finish_the_run(
    tmp_path, monkeypatch
):
    class Killed(Exception):
        pass

    def train_while_somebody_evaluates(config, folder, *_, **__):
        for name in ("results.json", "results.md"):
            (folder / name).write_text("of an early step")
        (folder / "checkpoints" / "last" / "2").mkdir(parents=True)

    def be_killed(*_, **__):
        raise Killed

    monkeypatch.setattr(runs, "fit", train_while_somebody_evaluates)
    monkeypatch.setattr(runs, "load_checkpoint", be_killed)
    (run,) = make_runs(tmp_path, 1)
    with StopRequest() as stop, pytest.raises(Killed):
        runs.train(run.config, run.folder, stop=stop, console=console())
    assert run.steps_done == 2 and not run.is_finished


@pytest.mark.parametrize("jobs", [1, 2])
def test_every_begun_run_is_compared_before_the_first_one_trains(
    tmp_path, monkeypatch, jobs
):
    def train(*_, **__):
        raise AssertionError("a run was trained")

    monkeypatch.setattr(runs, "train", train)
    monkeypatch.setattr(runs, "_side_by_side", train)
    chosen = make_runs(tmp_path)
    (before,) = make_runs(tmp_path, 1, **{"optim.lr": 0.5})
    with run_folder.claim(chosen[1].folder, before.config):
        (chosen[1].folder / "checkpoints" / "last" / "1").mkdir(parents=True)
    with (
        StopRequest() as stop,
        pytest.raises(WorkdirError, match="seed1: holds a run of another config"),
    ):
        runs.train_all(chosen, title="two", jobs=jobs, stop=stop, console=console())


@pytest.mark.parametrize(
    ("future", "direction", "is_told"),
    [
        (32, "bidirectional", True),
        (0, "bidirectional", False),
        (0, "forward", True),
    ],
)
def test_the_long_protocol_is_advised_where_it_is_allowed(
    future, direction, is_told, tmp_path
):
    config = child.configure(
        tmp_path,
        **{"data.window.future_frames": future, "model.direction": direction},
    )
    said = console()
    runs._tell_end(tmp_path, config, 5, said)
    text = said.file.getvalue()
    assert f"  damamba evaluate --workdir={tmp_path}\n" in text
    assert ("--protocol=long" in text) == is_told


@pytest.fixture
def compilation_cache(tmp_path, monkeypatch):
    """The second time, processes load what they compiled the first time."""
    monkeypatch.setenv("DAMAMBA_CACHE", str(tmp_path / "programs"))
    return tmp_path / "programs"


@pytest.mark.slow
def test_runs_side_by_side_are_saved_by_a_signal_and_go_on(
    tmp_path, monkeypatch, compilation_cache
):
    # Enough steps that a signal after the first one finds both at work.
    steps = {name: 500 for name in ("steps", "eval_every", "save_every", "log_every")}
    chosen = make_runs(tmp_path, **{f"train.{name}": n for name, n in steps.items()})
    open_corpus(chosen[0].config.data)
    said, options = console(), {"title": "two", "jobs": 2}
    show = progress.ProgressLine.__call__

    def interrupt(self, done, total, *, note=""):
        show(self, done, total, note=note)
        if done and not stop.requested:
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch, StopRequest() as stop:
        patch.setattr(progress.ProgressLine, "__call__", interrupt)
        with pytest.raises(Stopped):
            runs.train_all(chosen, stop=stop, console=said, **options)
    assert any(run.steps_done for run in chosen)
    assert not any(run.is_finished for run in chosen)
    with StopRequest() as stop:
        runs.train_all(chosen, stop=stop, console=said, **options)
    assert all(run.is_finished for run in chosen)
    assert "two: 1000/1000 steps" in said.file.getvalue()
    assert any(compilation_cache.iterdir())
    scores = []
    for run in chosen:
        (result,) = json.loads((run.folder / "results.json").read_text())["results"]
        scores.append(result["splits"][0]["scores"]["ccc"])
    assert scores[0] != scores[1]


def test_a_run_that_fails_is_named(tmp_path):
    chosen = make_runs(tmp_path, 1, **{"init_from": str(tmp_path / "nowhere")})
    open_corpus(chosen[0].config.data)
    with (
        StopRequest() as stop,
        pytest.raises(TrainingError, match="seed 0, .*status 1"),
    ):
        runs.train_all(chosen, title="one", jobs=2, stop=stop, console=console())


def test_a_run_whose_reader_is_gone_ends_as_by_a_signal(tmp_path):
    (run,) = make_runs(tmp_path, 1)
    context = multiprocessing.get_context("spawn")
    reader, writer = context.Pipe(duplex=False)
    process = context.Process(target=runs._train_in_process, args=(run, writer))
    process.start()
    reader.close()
    writer.close()
    process.join()
    assert process.exitcode == 128 + signal.SIGTERM
    assert run.folder.is_dir() and not run.is_finished


def test_processes_side_by_side_take_memory_as_they_need_it(monkeypatch):
    name = "XLA_PYTHON_CLIENT_PREALLOCATE"
    monkeypatch.delenv(name, raising=False)
    with runs._environment(runs._SHARED_DEVICE):
        assert os.environ[name] == "false"
    assert name not in os.environ
    monkeypatch.setenv(name, "true")
    with runs._environment(runs._SHARED_DEVICE):
        assert os.environ[name] == "true"
    assert os.environ[name] == "true"
