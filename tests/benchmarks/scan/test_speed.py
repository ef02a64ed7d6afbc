"""The benchmark of the scan, on a shape that takes milliseconds."""

import json
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import pytest

from benchmarks.scan import limits, peers, report, speed, timing
from benchmarks.scan.limits import Limits
from damamba_jax.kernels.selective_scan import IMPLEMENTATIONS, ScanOutput, Support
from damamba_jax.kernels.selective_scan.arg_specs import ARG_SPECS, ArgSpec

TINY = ArgSpec(2, 5, 3, 2)


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    """A shape of milliseconds, and few implementations."""
    monkeypatch.setitem(ARG_SPECS, "tiny", TINY)
    for name in ("associative", "chunked"):
        monkeypatch.delitem(IMPLEMENTATIONS, name)


def run(tmp_path, *flags):
    out = tmp_path / "scan.png"
    argv = ["--shapes=tiny", "--repeats=1", "--peers=none", "--copy_gb=0.001",
            f"--out={out}", *flags]  # fmt: skip
    code = speed.main(argv)
    return code, json.loads(out.with_suffix(".json").read_text())


def test_writes_tables_numbers_and_a_picture(tmp_path, capsys):
    code, tree = run(tmp_path, "--dtype=float32,bfloat16", "--exp2_per_second=1e3")
    assert code == 0
    printed = capsys.readouterr().out
    assert printed.count("tiny (B 2, L 5, D 3, N 2)") == 2
    assert tree["setting"]["copy_bytes_per_second"] > 0
    assert {row["by"] for row in tree["rows"] if "run" not in row} == {"pallas"}
    tree["rows"] = [row for row in tree["rows"] if "run" in row]
    found = [(row["by"], row["dtype"], row["run"]) for row in tree["rows"]]
    runs = ("forward", "forward_backward")
    dtypes = ("float32", "bfloat16")
    assert found == [("reference", dtype, run) for dtype in dtypes for run in runs]
    for row in tree["rows"]:
        assert row["ms"] > 0 and row["compile_s"] > 0 and row["peak_bytes"] > 0
        assert row["error"] <= (1e-6 if row["dtype"] == "float32" else 1e-2)
        assert row["gated_on"] == [2, 5]
        assert ("kept_bytes" in row) == (row["run"] == "forward_backward")
    # 30 elements, 2 + 3 operations each, at the rate that was given.
    assert f"{0.15 / (1e-3 * tree['rows'][0]['ms']):.1%}" in printed
    assert (tmp_path / "scan.png").read_bytes().startswith(b"\x89PNG")


def add(monkeypatch, run, supports=None):
    entry = IMPLEMENTATIONS["reference"]._replace(run=run)
    if supports is not None:
        entry = entry._replace(supports=supports)
    monkeypatch.setitem(IMPLEMENTATIONS, "other", entry)


@pytest.mark.parametrize("wrong", [1.001, float("nan")])
def test_no_speed_of_a_wrong_result(monkeypatch, wrong, tmp_path, capsys):
    reference = IMPLEMENTATIONS["reference"].run

    def broken(*args, **options):
        output = reference(*args, **options)
        return output._replace(y=output.y * jnp.float32(wrong))

    add(monkeypatch, broken)
    code, tree = run(tmp_path)
    assert code == 1
    assert "tiny float32 other: forward disagrees with ref" in capsys.readouterr().out
    assert [row["by"] for row in tree["rows"] if "ms" in row] == ["reference"] * 2


def test_no_forward_speed_of_a_wrong_gradient(monkeypatch, tmp_path):
    reference = IMPLEMENTATIONS["reference"].run
    add(
        monkeypatch,
        lambda arrays, options: reference(
            arrays._replace(x=jax.lax.stop_gradient(arrays.x)), options
        ),
    )
    code, tree = run(tmp_path)
    assert code == 1
    (row,) = [row for row in tree["rows"] if row["by"] == "other"]
    assert row["note"].startswith("forward_backward disagrees with reference: 1.0e+00")


@pytest.mark.parametrize(
    ("error", "code", "note"),
    [
        (RuntimeError("RESOURCE_EXHAUSTED: 4 GB"), 0, "out of memory"),
        (RuntimeError("no image\nmore"), 1, "RuntimeError: no image"),
    ],
)
def test_a_failure_is_said_and_the_rest_goes_on(
    monkeypatch, tmp_path, error, code, note
):
    def broken(*args, **options):
        raise error

    add(monkeypatch, broken)
    # Comes after the broken one.
    monkeypatch.setitem(IMPLEMENTATIONS, "last", IMPLEMENTATIONS["reference"])
    found, tree = run(tmp_path)
    assert found == code
    assert [row["note"] for row in tree["rows"] if row["by"] == "other"] == [note]
    assert len([row for row in tree["rows"] if row["by"] == "last"]) == 2


def test_unsupported_and_too_large_are_left_out(monkeypatch, tmp_path):
    add(
        monkeypatch,
        IMPLEMENTATIONS["reference"].run,
        lambda case: Support(False, "Not here."),
    )
    code, tree = run(tmp_path, "--limit_gib=1e-9")
    assert code == 0
    notes = {row["by"]: row["note"] for row in tree["rows"]}
    assert notes.pop("other") == "left out: Not here."
    assert notes.pop("pallas").startswith("left out: it needs")
    assert all(note.startswith("over limit") for note in notes.values()) and notes


def test_gate_is_shortened_when_memory_is_short():
    inputs = timing.draw(ArgSpec(3, 5, 3, 2), "float32")
    whole, _ = timing.truth(inputs, 1e9)
    assert whole is inputs
    short, wanted = timing.truth(inputs, 0.0)
    assert short[0]["x"].shape == (2, 5, 3) and short[0]["a"].shape == (3, 2)
    assert wanted["forward"].y.shape == (2, 5, 3)


def test_limits_are_those_of_an_h200():
    window, recording = ARG_SPECS["window_1024"], ARG_SPECS["recording_131k"]
    rate = limits.exponential_rate("NVIDIA H200")
    assert rate == pytest.approx(4.17e12, rel=5e-3)
    assert limits.exponential_rate("cpu") is None
    h200 = limits.Limits(copy_rate=4.299e12, exponential_rate=rate)
    # 19 operations an element bind, not 203 MB.
    moved = limits.minimal_bytes(window, dtype="float32", run="forward")
    assert moved / h200.copy_rate == pytest.approx(47.2e-6, rel=1e-3)
    seconds = h200.seconds(window, dtype="float32", run="forward")
    assert seconds == pytest.approx(57.2e-6, rel=3e-3)
    both = h200.seconds(recording, dtype="bfloat16", run="forward_backward")
    assert both == pytest.approx(2 * 611e-6, rel=3e-3)
    # With endless exponentials the bytes bind: 4 sequences forward, 7 backward.
    free = limits.Limits(copy_rate=4.299e12, exponential_rate=1e30)
    ratio = free.seconds(
        window, dtype="float32", run="forward_backward"
    ) / free.seconds(window, dtype="float32", run="forward")
    assert ratio == pytest.approx(11 / 4, rel=0.01)


def table(rows, device):
    rates = Limits(copy_rate=1e12, exponential_rate=None)
    return report.table(rows, "window_512", "float32", rates, device)


def test_ratio_to_a_recorded_peer_only_on_its_own_device():
    row = {"shape": "window_512", "dtype": "float32", "run": "forward_backward",
           "by": "reference", "ms": 0.5765}  # fmt: skip
    column = report.COLUMNS.index("x peer")
    made = table([row], "NVIDIA H200")
    assert made.rows[0][column] == "2.00"
    assert any("not measured in this run" in note for note in made.notes)
    made = table([row], "NVIDIA H100 80GB HBM3")
    assert made.rows[0][column] == "–" and len(made.notes) == 1
    measured = {**row, "by": "mamba_ssm", "ms": 5.765}
    made = table([measured, row], "NVIDIA H200")
    assert [cells[column] for cells in made.rows] == ["1.00", "10.00"]
    assert len(made.notes) == 1


def test_kept_bytes_leave_inputs_and_outputs_out(monkeypatch):
    @jax.custom_vjp
    def scan(x, a):
        return x, jnp.zeros((2, *a.shape))

    def keep(x, a):
        y = x * 2.0
        states = jnp.exp(jnp.ones((2, 2, *a.shape)) * x[0, 0, 0])
        return (y, states[0]), (x, a, y, states)

    scan.defvjp(keep, lambda kept, bars: (bars[0], kept[1]))
    add(monkeypatch, lambda arrays, _: ScanOutput(*scan(arrays.x, arrays.a)))
    inputs = timing.draw(TINY, "float32")
    assert timing.kept_bytes("other", inputs) == 2 * 2 * 3 * 2 * 4


def test_calls_fill_a_block_and_a_slow_one_runs_once(monkeypatch):
    now, seen = [0.0], []
    monkeypatch.setattr(timing.time, "perf_counter", lambda: now[0])

    def call(index):
        seen.append(index)
        now[0] += 0.004
        return jnp.zeros(())

    sets = [(0,), (1,), (2,)]
    found = timing.measure_calls(call, sets, 0.02, repeats=2, seconds=1.0)
    assert found == pytest.approx(0.004)
    # 1, 2, 4 and 8 calls until the block is long enough, then two blocks of 8.
    assert len(seen) == 15 + 16 and seen[-8:] == [0, 1, 2, 0, 1, 2, 0, 1]
    seen.clear()
    timing.measure_calls(call, sets, 0.02, repeats=2, seconds=0.004)
    assert seen == [0]


def test_short_calls_of_a_gpu_share_a_program(monkeypatch):
    monkeypatch.setattr(timing.jax, "default_backend", lambda: "gpu")
    sets = timing.draw_sets(TINY, "float32")
    assert len(sets) == timing.MOST_SETS
    assert float(sets[0][1][0, 0, 0]) != float(sets[1][1][0, 0, 0])
    program = timing.build("forward", "reference", sets[0])
    alone = timing.measure(program, sets, repeats=2, seconds=0.1)
    # As if a call took its whole limit: one program for each call.
    monkeypatch.setattr(timing, "SHORT_SECONDS", 0.0)
    monkeypatch.setattr(timing, "_together", None)
    assert 0.0 < alone and 0.0 < timing.measure(program, sets, repeats=2, seconds=0.1)


def test_peers_that_fail_are_said(monkeypatch, tmp_path):
    flags = SimpleNamespace(
        peers=["torch loop"], shapes=["tiny"], dtype=["float32"], repeats=1, seconds=1.0
    )
    monkeypatch.setattr(peers.importlib.util, "find_spec", lambda name: None)
    (row,) = peers.run_peers(flags, {})
    assert row == {"by": "torch loop", "note": "PyTorch is not installed"}
    script = tmp_path / "other_peers.py"
    script.write_text(
        "import json, sys\nrequest = json.load(sys.stdin)\n"
        "print(json.dumps({'by': 'x', 'note': str(request['specs'])}))\n"
        "sys.exit('no driver')\n"
    )
    monkeypatch.setattr(peers.importlib.util, "find_spec", lambda name: True)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(peers, "MODULE", script.stem)
    monkeypatch.setattr(peers, "PARITY", (TINY,))
    first, second = peers.run_peers(flags, {"float32": 1e-4})
    assert first["note"] == "{'tiny': [2, 5, 3, 2]}"
    assert second["failed"] and second["note"] == "exit code 1: no driver"


def test_refuses_unknown_names(capsys):
    for flag in ("--shapes=huge", "--dtype=float16", "--peers=fast"):
        with pytest.raises(SystemExit) as end:
            speed.main([flag])
        name, _, value = flag.partition("=")
        said = capsys.readouterr().err
        assert end.value.code == 2 and f"`{name}`: " in said and repr(value) in said
