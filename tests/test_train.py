"""Whole runs of the training command, uninterrupted and interrupted everywhere."""

import fcntl
import io
import json
import os
import shutil
import signal
import socket
import time
from pathlib import Path

import jax
import numpy as np
import pytest
import training_child as child
from rich.console import Console

from damamba_jax.config.tree import to_json
from damamba_jax.errors import (
    CheckpointError,
    ConfigError,
    CorpusError,
    DataFormatError,
)
from damamba_jax.inference.estimator import load_checkpoint
from damamba_jax.runs.run_log import read
from damamba_jax.runtime.stop import StopRequest
from damamba_jax.studies import runs

# Within what a scheduler waits between SIGTERM and SIGKILL.
SECONDS_TO_STOP = 10.0


@pytest.fixture(scope="session")
def shared(tmp_path_factory):
    """A folder that all workers of this test run share."""
    base = tmp_path_factory.getbasetemp()
    folder = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    (folder / "training").mkdir(exist_ok=True)
    return folder / "training"


@pytest.fixture(scope="session")
def finished(shared):
    """The workdir of an uninterrupted run; `output.txt` is what it printed."""
    workdir = shared / "finished"
    with (shared / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (workdir / "output.txt").exists():
            status, out, log = child.run(workdir, compiled=shared / "compiled")
            assert status == 0, out + log
            (workdir / "output.txt").write_text(out)
    return workdir


def lines(workdir):
    return read(workdir / "metrics.jsonl")


def steps(workdir, name):
    found = (workdir / "checkpoints" / name).glob("[0-9]*")
    return sorted(int(path.name) for path in found)


def digest(workdir, name, step):
    path = workdir / "checkpoints" / name / str(step) / "meta" / "metadata"
    return json.loads(path.read_text())["digest"]


def test_a_run_logs_saves_and_evaluates(finished):
    assert [line["step"] for line in lines(finished)] == [1, 2, 2, 3, 4, 4, 5, 5]
    scored = [line["val_ccc"] for line in lines(finished) if "val_ccc" in line]
    assert len(scored) == 3 and np.isfinite(scored).all()
    assert steps(finished, "last") == [3, 5]
    best = (2, 4, 5)[int(np.argmax(scored))]
    assert steps(finished, "best") == [best]
    assert load_checkpoint(finished).step == best
    assert load_checkpoint(finished, which="last").step == 5
    text = (finished / "output.txt").read_text()
    assert "parameters" in text
    assert "5/5 steps in" in text
    assert "val CCC" in text
    assert "Published rows" in text
    first = "simulated noxi-tiny: 1 x cpu, float32, 4 windows a batch, 5 steps: "
    (plan,) = [line for line in text.splitlines() if line.startswith(first)]
    windows = int(plan.rpartition("over ")[2].split()[0])
    assert f" {5 * 4 / windows:.1f} passes over {windows} windows" in plan
    end = text[text.index("workdir: ") :].splitlines()
    assert end[0] == f"workdir: {finished}"
    assert end[1].startswith(f"best checkpoint: {finished}/checkpoints/best, step ")
    assert f"  damamba evaluate --workdir={finished}" in end
    for name in ("results.md", "results.json", "config.json", "timing.jsonl"):
        assert (finished / name).stat().st_size


def test_everything_that_a_simulated_run_writes_says_so(finished):
    assert all(line["simulated"] is True for line in lines(finished))
    assert all(line["simulated"] is True for line in read(finished / "timing.jsonl"))
    assert "simulated noxi-tiny: 5/5" in (finished / "output.txt").read_text()
    assert "| simulated |" in (finished / "results.md").read_text()
    result = json.loads((finished / "results.json").read_text())
    assert "simulated" in json.dumps(result)
    assert load_checkpoint(finished).simulated
    text = (finished / "output.txt").read_text()
    pictures = [line for line in text.splitlines() if line.startswith("picture:")]
    assert len(pictures) == len(list((finished / "pictures").glob("*.png"))) > 1
    assert all("simulated" in line for line in pictures)


def test_a_finished_run_prints_its_table_and_ends(finished, shared):
    before = (finished / "metrics.jsonl").stat().st_mtime_ns
    status, out, log = child.run(finished, compiled=shared / "compiled")
    assert status == 0, log
    assert "this run is finished" in out
    assert "simulated" in out and "damamba evaluate --workdir=" in out
    assert (finished / "metrics.jsonl").stat().st_mtime_ns == before


def test_a_signal_during_the_first_compilation_is_obeyed(
    shared, finished, tmp_path, monkeypatch
):
    monkeypatch.setenv("JAX_LOG_COMPILES", "1")
    shutil.copytree(shared / "cache", tmp_path / "cache")
    # This one compiles for longer than the main thread is waited for.
    process = child.start(
        tmp_path / "run", "--config.model.dialogue_blocks=8",
        "--config.model.direction=bidirectional",
    )  # fmt: skip
    try:
        for line in process.stderr:
            if "MLIR module conversion jit(step)" in line:
                break
        time.sleep(0.2)
        begin = time.monotonic()
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 143
    assert time.monotonic() - begin < SECONDS_TO_STOP
    assert "Finished XLA compilation of jit(step)" not in log
    assert steps(tmp_path / "run", "last") == []


@pytest.mark.slow
def test_a_run_stopped_everywhere_ends_as_one_that_never_was(
    finished, shared, tmp_path
):
    workdir = tmp_path / "run"
    shutil.copytree(shared / "cache", tmp_path / "cache")
    points = [
        # point, signal, exit status, steps on disk afterwards
        ("best", signal.SIGKILL, -9, []),
        ("step", signal.SIGTERM, 143, [3]),
        ("save", signal.SIGKILL, -9, [3]),
        ("validation", signal.SIGINT, 130, [3, 4]),
        ("evaluation", signal.SIGTERM, 143, [4, 5]),
    ]
    for point, number, expected, on_disk in points:
        status, out, log = child.run(
            workdir, compiled=shared / "compiled", killed=(point, number)
        )
        assert status == expected, (point, out, log)
        assert steps(workdir, "last") == on_disk, point
        assert not (workdir / "results.md").exists()
    trained = (workdir / "metrics.jsonl").read_bytes()

    status, out, log = child.run(workdir, compiled=shared / "compiled")
    assert status == 0, out + log
    assert "resuming at step 5" in out + log
    assert (workdir / "metrics.jsonl").read_bytes() == trained
    assert trained == (finished / "metrics.jsonl").read_bytes()
    assert digest(workdir, "last", 5) == digest(finished, "last", 5)
    (best,) = steps(finished, "best")
    assert steps(workdir, "best") == [best]
    assert digest(workdir, "best", best) == digest(finished, "best", best)
    table = (workdir / "results.md").read_text()
    assert table == (finished / "results.md").read_text().replace(
        str(finished), str(workdir)
    )


def test_a_warning_saves_and_the_run_goes_on(finished, shared, tmp_path):
    workdir = tmp_path / "run"
    shutil.copytree(shared / "cache", tmp_path / "cache")
    status, out, log = child.run(
        workdir, "--on_warning=save", "--config.train.save_every=5",
        compiled=shared / "compiled", killed=("step", signal.SIGUSR1),
    )  # fmt: skip
    assert status == 0, out + log
    early, last = steps(workdir, "last")
    assert early in (3, 4) and last == 5 and f"saved step {early}; going on." in log
    assert (workdir / "metrics.jsonl").read_bytes() == (
        finished / "metrics.jsonl"
    ).read_bytes()
    assert digest(workdir, "last", 5) == digest(finished, "last", 5)


def test_a_run_starts_from_the_parameters_of_another(finished, shared, tmp_path):
    origin = load_checkpoint(finished)
    workdir = shared / "tuned"
    status, out, log = child.run(
        workdir, f"--config.init_from={finished}", "--config.optim.lr=1e-12",
        "--config.optim.weight_decay=0.0", "--config.train.steps=1",
        compiled=shared / "compiled",
    )  # fmt: skip
    assert status == 0, out + log
    tuned = load_checkpoint(workdir)
    assert tuned.step == 1
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6),
        tuned.params,
        origin.params,
    )
    assert "init_from" in (workdir / "config.json").read_text()


def listening(port):
    """Local addresses, in the kernel's notation, that accept connections at a port."""
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            address, _, number = line.split()[1].partition(":")
            if int(number, 16) == port and line.split()[3] == "0A":
                found.add(address)
    return found


@pytest.mark.slow
def test_two_processes_train_what_one_does(finished, shared):
    short = ("--config.train.steps=2", "--config.train.eval_every=2")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    together = (*short, f"--coordinator=127.0.0.1:{port}", "--num_processes=2")
    one, two = shared / "one", shared / "two"
    processes = [child.start(one, *short, devices=2)] + [
        child.start(two, *together, f"--process_id={i}") for i in range(2)
    ]
    try:
        addresses = set()
        while not addresses and processes[1].poll() is None:
            time.sleep(0.1)
            addresses = listening(port)
        said = [process.communicate(timeout=240) for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0, 0], said
    assert "2/2 steps" in said[1][0] and "steps" not in said[2][0]
    # gRPC writes IPv4 addresses into the table of IPv6 as well.
    assert all(address.endswith("0100007F") for address in addresses), addresses
    assert len(lines(one)) == len(lines(two)) == 3
    for a, b in zip(lines(one), lines(two), strict=True):
        assert a == pytest.approx(b, rel=1e-3, abs=1e-5)
    # Where a gradient is all rounding, Adam's step has either sign.
    different = [
        np.abs(np.asarray(a) - np.asarray(b)).ravel() > 1e-5
        for a, b in zip(
            jax.tree.leaves(load_checkpoint(one).params),
            jax.tree.leaves(load_checkpoint(two).params),
            strict=True,
        )
    ]
    assert np.mean(np.concatenate(different)) < 0.01


# What follows ends before anything is compiled, and runs in this process.


def attempt(tmp_path, **overrides):
    console = Console(file=io.StringIO(), width=200)
    workdir = tmp_path / "attempt"
    config = child.configure(tmp_path / "cache", **overrides)
    with StopRequest() as stop:
        runs.train(config, workdir, stop=stop, console=console)


def test_another_shape_is_refused_with_the_first_leaf(finished, tmp_path):
    with pytest.raises(
        CheckpointError, match=r"model\.\S+ is float32\[.*, but float32"
    ):
        attempt(tmp_path, **{"init_from": str(finished), "model.dim": 16})
    changed = {"data.normalization": "session", "model.direction": "bidirectional"}
    with pytest.raises(ConfigError, match="normalised by 'training', but this run has"):
        attempt(tmp_path, init_from=str(finished), **changed)
    with pytest.raises(CheckpointError, match="expected a folder of a training run"):
        attempt(tmp_path, init_from=str(tmp_path / "nothing"))
    assert not (tmp_path / "attempt" / "checkpoints").exists()


@pytest.fixture(scope="session")
def corpus(finished, shared):
    (found,) = (shared / "cache").glob("simulated-tiny-*")
    return found


def test_a_root_that_is_no_corpus_is_an_error_never_the_simulation(tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    strange = tmp_path / "strange"
    (strange / "photos").mkdir(parents=True)
    (strange / "photos" / "a.txt").write_text("a")
    for root in (tmp_path / "missing", empty, strange):
        with pytest.raises(CorpusError, match=str(root)):
            attempt(tmp_path, **{"data.root": str(root)})
    assert not list((tmp_path / "cache").glob("simulated*"))


def test_an_empty_split_says_where_it_looked(corpus, tmp_path):
    shutil.copytree(corpus, tmp_path / "corpus")
    shutil.rmtree(tmp_path / "corpus" / "noxi" / "train")
    with pytest.raises(CorpusError, match="noxi/train") as error:
        attempt(tmp_path, **{"data.root": str(tmp_path / "corpus")})
    assert "noxi/val" in str(error.value)
    assert str(tmp_path / "corpus") in str(error.value)


def test_another_width_names_both(corpus, tmp_path):
    with pytest.raises(DataFormatError, match=r"\b10\b.*\b512\b|\b512\b.*\b10\b"):
        attempt(tmp_path, **{"data.root": str(corpus), "features.clip.dim": 512})


def test_a_batch_must_divide_among_the_devices(corpus, tmp_path):
    if jax.device_count() == 1:
        pytest.skip("needs several devices; the suite's XLA_FLAGS make virtual ones")
    with pytest.raises(ConfigError, match="multiple of the 4 devices, got 3"):
        attempt(tmp_path, **{"data.root": str(corpus), "train.batch_size": 3})


def test_an_evaluation_of_an_unfinished_run_does_not_finish_it(
    corpus, tmp_path, monkeypatch
):
    overrides = {"data.root": str(corpus)}
    workdir = tmp_path / "attempt"
    (workdir / "checkpoints" / "last" / "3").mkdir(parents=True)
    (workdir / "config.json").write_text(
        to_json(child.configure(tmp_path / "cache", **overrides))
    )
    (workdir / "results.md").write_text("of step 3")

    class GoesOn(Exception):
        pass

    def go_on(*_, **__):
        raise GoesOn

    monkeypatch.setattr(runs, "fit", go_on)
    with pytest.raises(GoesOn):
        attempt(tmp_path, **overrides)
    assert not (workdir / "results.md").exists()


def test_a_run_that_diverges_ends_with_the_reason_and_saves_nothing_more(
    finished, shared, tmp_path
):
    shutil.copytree(shared / "cache", tmp_path / "cache")
    workdir = tmp_path / "run"
    status, out, log = child.run(
        workdir, "--config.optim.lr=1e38", "--config.optim.warmup_steps=0",
        "--config.train.max_bad_steps=2", "--config.train.save_every=1",
        "--config.train.eval_every=5", compiled=shared / "compiled",
    )  # fmt: skip
    assert status == 1, out + log
    (message,) = [line for line in log.splitlines() if line.startswith("error:")]
    assert "not finite 2 times in a row" in message
    assert "optim.lr" in message
    assert "Traceback" not in log
    (bad,) = (int(word.strip(":")) for word in message.split() if word[0].isdigit()
              and word.endswith(":"))  # fmt: skip
    assert max(steps(workdir, "last")) < bad
    saved = load_checkpoint(workdir, which="last")
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(saved.params))


def test_user_errors_are_one_message_without_a_traceback(tmp_path):
    status, out, log = child.run(tmp_path / "run", "--config.data.root=/nowhere")
    assert status == 1
    assert log.strip().startswith("error: `data.root`")
    assert "Traceback" not in log + out
    assert len(log.strip().splitlines()) <= 3
