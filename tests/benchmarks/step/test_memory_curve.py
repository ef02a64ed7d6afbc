"""The benchmark of memory against length, on a model of a few hundred parameters."""

import fcntl
import io
import json
import math
import os
import pathlib
import subprocess
import sys
import time
from types import SimpleNamespace

import jax
import pytest
from rich.console import Console

from benchmarks import child
from benchmarks.step import kept, measure, memory_curve, memory_table, process
from benchmarks.step.memory_curve import Report
from benchmarks.step.steps import Steps
from damamba_jax.config.tree import from_tree
from damamba_jax.models.flat_params import FlatParams
from damamba_jax.models.functional import abstract_model
from tests.benchmarks.step.small import SMALL
from tests.example import FEATURES, small_config, small_system

# ml_collections 1.1 reads configuration files through a deprecated function.
pytestmark = pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")


def main(argv):
    return memory_curve.main(argv)


def error_of(argv, capsys):
    """The line with which the command ends."""
    with pytest.raises(SystemExit) as end:
        main(argv)
    said = capsys.readouterr().err
    return said if end.value.code == 2 else end.value.code


def row(length, peak, **fields):
    return {
        "length": length, "parameters": 42_500_000,
        "state_bytes": 10, "input_bytes": length,
        "temporary_bytes": peak, "compiled_bytes": peak, "allocated_bytes": None,
        "compilation_bytes": None, "compile_seconds": 3.0, "step_ms": None,
        "platform": "cpu", "device": "cpu", "jax": "1", "python": "3",
        "date": "2026-11-26",
        "parity": {
            "other": "without remat", "loss": 1.0, "other_loss": 1.0, "tolerance": 1e-5
        },
        **fields,
    }  # fmt: skip


@pytest.mark.slow
def test_measures_and_writes_table_numbers_and_picture(tmp_path, capsys):
    out = tmp_path / "new" / "curve.png"
    code = main(
        [*SMALL, "--platform=cpu", "--batch_size=64",
         "--lengths=256,512", f"--out={out}"]
    )  # fmt: skip
    captured = capsys.readouterr()
    assert code == 1 and "NOT linear: the largest growth in 1 doublings" in captured.out
    assert "parity: loss" in captured.out and "with remat" in captured.out
    assert out.read_bytes().startswith(b"\x89PNG")
    assert "for slopes only" in out.with_suffix(".md").read_text().lower()
    tree = json.loads(out.with_suffix(".json").read_text())
    (tree,) = tree["systems"]
    first, second = tree["rows"]
    # 258 rows of one feature: 256 frames at its native rate, and two to interpolate.
    dim = tree["config"]["data"]["features"][0]["dim"]
    assert first["input_bytes"] > 64 * 2 * 258 * dim * 4
    # Parameters, two moments, moving average, in vectors of whole lines.
    config = from_tree(tree["config"])
    _, params = abstract_model(config.model, config.data)
    assert first["parameters"] == sum(x.size for x in jax.tree.leaves(params))
    vectors = jax.tree.leaves(jax.eval_shape(FlatParams.from_tree, params))
    size = sum(x.size for x in vectors)
    assert first["state_bytes"] == pytest.approx(16 * size, rel=0.01)
    assert first["compiled_bytes"] > first["state_bytes"] + first["input_bytes"]
    ratio = second["compiled_bytes"] / first["compiled_bytes"]
    assert tree["ratios"] == {"512": ratio} and 2.1 < ratio < 4.1
    assert tree["fit"]["exponent"] == pytest.approx(math.log2(ratio))


@pytest.mark.parametrize(
    ("wrong", "ok"),
    [
        ({}, True),
        ({"loss": 1.00002}, False),
        ({"loss": math.nan}, False),
        ({"grad_norm": 2.001}, False),
        ({"skipped": 1}, False),
    ],
)
def test_a_wrong_step_gets_no_table(monkeypatch, tmp_path, capsys, wrong, ok):
    seen = []

    def fake(config):
        seen.append((config.model.remat, config.model.scan))
        found = {"loss": 1.0, "grad_norm": 2.0, "skipped": 0}
        metrics = found | wrong if config.model.remat else found
        return lambda: (SimpleNamespace(step=1), metrics), None

    monkeypatch.setattr(measure, "step_and_shapes", fake)
    monkeypatch.setattr(measure, "real_arguments", lambda config: ())
    parity = measure.check_parity(small_config(remat=True, scan=""))
    assert seen == [(True, ""), (False, "reference")]
    assert parity["ok"] is ok and parity["other"] == (
        "without remat, by the reference scan"
    )

    if not ok:
        monkeypatch.setattr(process, "run", lambda *args: parity)
        out = tmp_path / "curve.png"
        argv = ["--platform=cpu", f"--out={out}"]
        assert main(argv) == 1
        captured = capsys.readouterr()
        assert captured.out == "" and "No figure is printed" in captured.err
        assert not out.exists()


@pytest.mark.parametrize(
    ("system", "others"),
    [
        ("dat", [False, True]),
        ("baseline", [None, None]),
    ],
)
def test_every_system_is_checked_in_a_way_that_it_has(monkeypatch, system, others):
    seen = []

    def fake(config):
        seen.append((config.data.window.window_frames, config.model))
        found = {"loss": 1.0, "grad_norm": 2.0, "skipped": 0}
        return lambda: (SimpleNamespace(step=1), found), None

    monkeypatch.setattr(measure, "step_and_shapes", fake)
    monkeypatch.setattr(measure, "real_arguments", lambda config: ())
    parity = measure.check_parity(small_system(system))
    assert parity["ok"] and parity["other"] == (
        "with remat"
        if system == "dat"
        else "a second time, having neither remat nor a scan"
    )
    assert [frames for frames, _ in seen] == [32, 32]
    assert [getattr(model, "remat", None) for _, model in seen] == others
    # The note of the table says it of every system, too.
    made = memory_table.table(
        [memory_table.Series(small_system(system), [row(256, 5)])], 2.1
    )
    assert any("without remat" in note for note in made.notes)


@pytest.mark.parametrize("exponent", [1.0, 1.5, 2.0])
def test_fit_finds_a_power_law(exponent):
    peaks = {n: round(7e6 * n**exponent) for n in (64, 256, 512, 1024, 8192)}
    peaks[64] = 1
    fit = memory_table.fit_growth(peaks)
    assert fit.exponent == pytest.approx(exponent, abs=1e-6)


def test_fit_finds_a_line():
    peaks = {n: 5_000_000_000 + 3_000_000 * n for n in (64, 256, 512, 1024, 8192)}
    fit = memory_table.fit_growth(peaks)
    assert fit.fixed_bytes == pytest.approx(5e9, rel=1e-6)
    assert fit.frame_bytes == pytest.approx(3e6, rel=1e-6)
    assert memory_table.fit_growth({128: 1, 256: 2}) is None


def test_verdict_judges_doublings_from_256_on():
    growth = memory_table.ratios({64: 1, 128: 9, 192: 9, 256: 10, 512: 20, 1024: 43})
    assert growth == {128: 9.0, 256: 10 / 9, 512: 2.0, 1024: 2.15}
    ok, text = memory_table.verdict(growth, 2.1)
    assert not ok and "2.150 (to 1,024 frames)" in text
    assert memory_table.verdict(growth, 2.2)[0]


def test_growth_beyond_the_limit_fails(tmp_path):
    rows = [row(256, 100), row(512, 250)]
    out = tmp_path / "curve.png"
    series = memory_table.Series(small_config(), rows)
    assert not Report(out=out, max_ratio=2.1).publish([series])
    assert "NOT linear" in out.with_suffix(".md").read_text()
    # What DA-Mamba is compared with claims nothing.
    series = memory_table.Series(small_system("dat"), rows)
    assert Report(out=out, max_ratio=2.1).publish([series])
    assert "inear:" not in out.with_suffix(".md").read_text()


def test_a_gpu_is_judged_by_its_allocator():
    gpu = {"platform": "gpu", "device": "GPU", "compilation_bytes": 60}
    rows = [
        row(256, 80, allocated_bytes=50, step_ms=12.345, **gpu),
        row(512, 160, allocated_bytes=100, **gpu),
        row(1024, 320, **gpu),
    ]
    assert memory_table.peaks(rows) == {256: 50, 512: 100}
    series = memory_table.Series(small_config(), rows)
    cells = memory_table.table([series], 2.1).rows
    # Compilation took more than the first step did.
    assert [cell[-5] for cell in cells] == ["50*", "100", "out of memory"]
    assert [cell[-3] for cell in cells] == 3 * ["1.000"]
    assert [cell[-2:] for cell in cells] == [("12.35", "3")] + 2 * [("–", "3")]


def test_a_step_that_runs_is_timed():
    """The path of a GPU, but for its allocator, on a CPU."""
    # The benchmark's own check compiles the rest of the model.
    config = small_system("baseline", features=FEATURES[:1])
    config = measure.resize(config, length=24, batch_size=2)
    # optax promotes types.
    with jax.numpy_dtype_promotion("standard"):
        found = measure.measure(config, length=24, run_on_cpu=True, repeats=2)
    assert found["step_ms"] > 0 and found["compile_seconds"] > 0
    assert found["allocated_bytes"] is None


@pytest.mark.parametrize(
    ("budget", "lengths", "frames", "at_limit"),
    [
        # 10 bytes and 2 a frame: 4,096 frames take 8,202.
        (8_202, [256, 512, 1024, 2048, 4096, 8192], 4096, True),
        (8_201, [256, 512, 1024, 2048, 4096], 2048, True),
        (100, [256, 512], 0, True),
    ],
)
def test_search_doubles_until_the_budget_is_passed(
    monkeypatch, budget, lengths, frames, at_limit
):
    asked = []

    def run(request, config, device):
        if request["task"] == "parity":
            return {"ok": True}
        asked.append(request["length"])
        return row(request["length"], 10 + 2 * request["length"])

    monkeypatch.setattr(process, "run", run)
    console = Console(file=io.StringIO())
    rows = list(
        memory_curve.measure(
            small_config(), [256, 512], Steps("cpu"), console=console, max_bytes=budget
        )
    )
    assert asked == lengths
    best = memory_table.longest(rows, budget)
    assert (best.frames, best.at_limit) == (frames, at_limit)
    assert best.fitted_frames == pytest.approx((budget - 10) / 2, abs=1)
    series = memory_table.Series(small_config(), rows)
    note = memory_table.table([series], 2.1, budget).notes[-1]
    assert f"{frames:,} frames measured" in note or not frames


def test_search_ends_where_memory_does(monkeypatch):

    def run(request, config, device):
        if request["task"] == "parity":
            return {"ok": True}
        n = request["length"]
        fits = n <= 512 or None
        return row(n, n, platform="gpu", allocated_bytes=fits and n)

    monkeypatch.setattr(process, "run", run)
    console = Console(file=io.StringIO())
    rows = list(
        memory_curve.measure(
            small_config(), [256], Steps("gpu"), console=console, max_bytes=1e9
        )
    )
    assert [r["length"] for r in rows] == [256, 512, 1024]
    assert memory_table.longest(rows, 1e9)[1:3] == (512, 512)


def test_one_table_of_both_systems_each_until_memory_ends(
    monkeypatch, tmp_path, capsys
):
    """The default: DA-Mamba linear, DAT quadratic, on a device of 3,000 bytes."""
    asked = []

    def run(request, config, device):
        name, n = config.name, request.get("length")
        if request["task"] == "platform":
            return {"platform": "gpu"}
        asked.append((name, n, config.model.remat))
        if request["task"] == "parity":
            return {"ok": True, **row(8, 1)["parity"]}
        size = n if name == "noxi" else n * n // 256
        fits = size <= 3_000
        return row(
            n, size, platform="gpu", device="GPU", compilation_bytes=0,
            allocated_bytes=size if fits else None, step_ms=12.5 if fits else None,
        )  # fmt: skip

    monkeypatch.setattr(process, "run", run)
    out = tmp_path / "curve.png"
    argv = ["--config.model.remat=False", f"--out={out}"]
    assert main(argv) == 0
    lengths = [None, 64, 96, 128, 192, 256, 512, 1024, 2048]
    assert asked == [
        *(("noxi", n, False) for n in lengths),
        # The first length that does not fit is the last.
        *(("dat-paper_table", n, False) for n in lengths[:-1]),
    ]
    text = out.with_suffix(".md").read_text()
    lines = [line for line in text.splitlines() if line.startswith("| D")]
    assert len(lines) == 15
    assert "| DA-Mamba, noxi | 42.50 M | 2,048 |" in text and "| 1.000 | 12.5 |" in text
    assert "out of memory | – | 2.000 | – |" in lines[-1]
    assert out.read_bytes().startswith(b"\x89PNG")
    systems = json.loads(out.with_suffix(".json").read_text())["systems"]
    exponents = [one["fit"]["exponent"] for one in systems]
    assert exponents == pytest.approx([1.0, 2.0], abs=1e-9)
    assert "DAT, dat-paper_table: parity: loss" in capsys.readouterr().out


def test_an_interrupted_table_goes_on(monkeypatch, tmp_path, capsys):
    asked, broken = [], [512]

    def run(request, config, device):
        asked.append(request.get("length", request["task"]))
        if request["task"] == "parity":
            return {"ok": True, **row(8, 1)["parity"]}
        if asked[-1] in broken:
            raise process.BenchmarkError("taken away")
        n = request["length"]
        return row(n, n)

    monkeypatch.setattr(process, "run", run)
    argv = ["--platform=cpu", "--config=configs/noxi.py",
            "--lengths=128,256,512", f"--out={tmp_path / 'curve.png'}"]  # fmt: skip
    assert main(argv) == 1
    broken.clear()
    assert main(argv) == 0
    assert asked == ["parity", 128, 256, 512, 512]
    (system,) = json.loads((tmp_path / "curve.json").read_text())["systems"]
    assert [r["length"] for r in system["rows"]] == [128, 256, 512]
    # What cannot be read is measured again.
    (path,) = [p for p in (tmp_path / "curve").iterdir() if '"length": 256' in
               p.read_text()]  # fmt: skip
    path.write_text(path.read_text()[:40])
    assert main(argv) == 0
    assert asked.pop() == 256 and len(asked) == 5
    # Another configuration, and other code, are measured.
    assert main([*argv, "--batch_size=3"]) == 0
    assert len(asked) == 9
    monkeypatch.setattr(kept, "_code", lambda: "other")
    assert main(argv) == 0
    assert len(asked) == 13


def test_a_system_whose_check_fails_leaves_the_other_its_figures(
    monkeypatch, tmp_path, capsys
):
    def run(request, config, device):
        if request["task"] == "parity":
            return {**row(8, 1)["parity"], "ok": config.name == "noxi"}
        return row(request["length"], request["length"])

    monkeypatch.setattr(process, "run", run)
    out = tmp_path / "curve.png"
    assert main(["--platform=cpu", f"--out={out}"]) == 1
    assert "without remat disagree" in capsys.readouterr().err
    (one,) = json.loads(out.with_suffix(".json").read_text())["systems"]
    assert one["system"] == "DA-Mamba, noxi" and len(one["rows"]) == 8


@pytest.mark.parametrize("lengths", ["", "96,x", "0"])
def test_refuses_lengths_that_are_none(lengths, capsys):
    assert "`--lengths`: expected" in error_of([f"--lengths={lengths}"], capsys)


def test_refuses_an_unknown_field_and_an_absent_gpu(monkeypatch, capsys):
    wrong = error_of(["--config.model.dimm=3"], capsys)
    assert "`--config.model.dimm`: unknown field; did you mean 'dim'" in wrong
    twice = 2 * ["--config=configs/noxi.py"]
    assert "expected each configuration once, got noxi, noxi" in error_of(twice, capsys)
    monkeypatch.setattr(process, "run", lambda *args: {"platform": "cpu"})
    assert "`--platform`: expected a GPU" in error_of(["--platform=gpu"], capsys)


def test_help_says_what_is_measured(capsys):
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    assert end.value.code == 0
    printed = capsys.readouterr().out
    assert "--max_ratio" in printed and "Parameters, optimizer" in printed


def test_steps_compile_ahead_before_any_is_measured(monkeypatch, tmp_path, capsys):
    asked = []

    def run(request, config, device):
        task, n = request["task"], request.get("length")
        asked.append((task, n, os.environ["JAX_COMPILATION_CACHE_DIR"]))
        if task == "parity":
            return {"ok": True, **row(8, 1)["parity"]}
        if task == "compile":
            if n == 512:
                raise process.BenchmarkError("out of memory beside the others")
            return {"compile_seconds": 77.0}
        return row(n, n, compile_seconds=1.0)

    monkeypatch.setattr(process, "run", run)
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
    out = tmp_path / "curve.png"
    argv = ["--platform=cpu", "--config=configs/noxi.py", "--jobs=2",
            "--lengths=256,512", f"--out={out}"]  # fmt: skip
    assert main(argv) == 0
    tasks = [(task, n) for task, n, _ in asked]
    assert set(tasks[:3]) == {("parity", None), ("compile", 256), ("compile", 512)}
    # The check is not made again, and two lengths start at a time.
    assert sorted(tasks[3:]) == [("measure", 256), ("measure", 512)]
    assert len({folder for *_, folder in asked}) == 1
    assert "JAX_COMPILATION_CACHE_DIR" not in os.environ
    (system,) = json.loads(out.with_suffix(".json").read_text())["systems"]
    assert [r["compile_seconds"] for r in system["rows"]] == [77.0, 1.0]


def test_what_ran_out_of_memory_beside_others_is_measured_alone(monkeypatch, tmp_path):
    """Of a device of 1,000 bytes; 600 runs out while it compiles."""
    asked, at_work = [], []

    def run(request, config, device):
        if request["task"] == "parity":
            return {"ok": True}
        n = request["length"]
        asked.append(n)
        at_work.append(n)
        time.sleep(0.2)
        fits = sum(at_work) <= 1000
        at_work.remove(n)
        if n == 600 and not fits:
            raise process.BenchmarkError("RESOURCE_EXHAUSTED: no memory")
        size = n if fits else None
        return row(n, n, platform="gpu", allocated_bytes=size, step_ms=size)

    monkeypatch.setattr(process, "run", run)
    monkeypatch.setattr(process, "ALONE", str(tmp_path / "lock"))
    console = Console(file=io.StringIO())

    def measured(lengths, jobs):
        asked.clear()
        steps = Steps("gpu", beside_others=jobs > 1)
        rows = memory_curve.measure(
            small_config(), lengths, steps, jobs=jobs, console=console
        )
        return {r["length"]: r["allocated_bytes"] for r in rows}

    found = measured([300, 500, 600, 900], 4)
    assert found == {300: 300, 500: 500, 600: 600, 900: 900}
    assert len(asked) > len(found)
    assert measured([900, 1200, 1500], 1) == {900: 900, 1200: None}
    assert asked == [900, 1200]


def test_steps_run_one_at_a_time_and_compilations_side_by_side(monkeypatch, tmp_path):
    lock = str(tmp_path / "turns")

    def enters(kind):
        """Whether another process could, while this one has its turn."""
        with open(lock, "a") as file:
            try:
                fcntl.flock(file, kind | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
        return True

    with measure._turn(lock, fcntl.LOCK_SH):
        assert enters(fcntl.LOCK_SH) and not enters(fcntl.LOCK_EX)
    with measure._turn(lock, fcntl.LOCK_EX):
        assert not enters(fcntl.LOCK_SH)
    # A step has its turn while it runs.
    seen = []
    monkeypatch.setattr(
        measure, "_run", lambda *_, **__: seen.append(enters(fcntl.LOCK_SH)) or {}
    )
    config = small_system("baseline", features=FEATURES[:1])
    config = measure.resize(config, length=24, batch_size=2)
    with jax.numpy_dtype_promotion("standard"):
        measure.measure(config, length=24, run_on_cpu=True, turns=lock)
    assert seen == [False]

    def answer(command, *, input, **_):
        seen.append(json.loads(input)["turns"])
        return SimpleNamespace(returncode=0, stdout="{}")

    monkeypatch.setattr(child.subprocess, "run", answer)
    process.run({"task": "compile"}, config, "cpu")
    assert seen[1:] == [process.TURNS]


def test_a_measuring_process_ends_with_the_command_that_started_it():
    child = (
        "import sys; from benchmarks.step.measure import _end_with; "
        "_end_with(int(sys.argv[1]))"
    )
    program = (
        "import os, subprocess, sys\n"
        f"args = [sys.executable, '-c', {child!r}, str(os.getpid())]\n"
        "print(subprocess.Popen(args, stdout=subprocess.DEVNULL).pid)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, check=True,
        env={**os.environ, "PYTHONPATH": str(pathlib.Path(__file__).parents[3])},
    )  # fmt: skip
    child = pathlib.Path(f"/proc/{done.stdout.strip()}")
    end = time.monotonic() + 60
    while child.exists() and "Z" not in (child / "stat").read_text().split()[2]:
        assert time.monotonic() < end, "it goes on"
        time.sleep(0.1)


def test_what_is_compiled_ahead_is_read_from_the_cache(monkeypatch):
    """With real processes: nothing is compiled twice, and no figure is lost."""
    # Else what compiles in less than a second is not kept.
    monkeypatch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
    config = small_system("baseline", features=FEATURES[:1])
    found = []
    with process.compilation_cache():
        folder = pathlib.Path(os.environ["JAX_COMPILATION_CACHE_DIR"])
        for task in ("compile", "measure", "measure"):
            found.append(process.run({"task": task, "length": 24}, config, "cpu"))
            entries = {p.name for p in folder.iterdir() if p.name.endswith("-cache")}
            found[-1]["entries"] = entries
    ahead, *rows = found
    assert ahead["compile_seconds"] > 0 and ahead["entries"]
    assert ahead["entries"] == rows[0]["entries"] == rows[1]["entries"]
    assert rows[0]["temporary_bytes"] == rows[1]["temporary_bytes"] > 0
