"""The benchmark of the training step, on a model of a few hundred parameters."""

import json

import pytest

from benchmarks.step import process, variants
from benchmarks.step.steps import Steps
from tests.benchmarks.step.small import SMALL
from tests.example import small_system

# ml_collections 1.1 reads configuration files through a deprecated function.
pytestmark = pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")


def fake(monkeypatch, answers):
    """Answers requests without a process; returns what was asked."""
    asked = []

    def run(request, config, device):
        model = config.model
        asked.append((request["task"], model.scan, model.compute_dtype, model.remat))
        answer = answers(request, model)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(process, "run", run)
    return asked


def answer(request, model, **fields):
    if request["task"] == "parity":
        return {"ok": True}
    return {
        "length": request["length"], "step_ms": 250.0, "allocated_bytes": 3_000_000_000,
        "compiled_bytes": 4_000_000_000, "compile_seconds": 60.0, "platform": "gpu",
        "device": "GPU", "jax": "1", "python": "3", "date": "2026-11-26", **fields,
    }  # fmt: skip


def main(tmp_path, *argv):
    out = tmp_path / "new" / "step.png"
    code = variants.main([*SMALL, "--platform=cpu", f"--out={out}", *argv])
    return code, json.loads(out.with_suffix(".json").read_text())["rows"], out


def test_a_real_step_is_timed(monkeypatch, tmp_path, capsys):
    # The check itself runs in the tests of memory_curve.
    parity = {"ok": True, "loss": 1.0}
    monkeypatch.setattr(Steps, "check", lambda *args: parity)
    code, (row,), out = main(tmp_path, "--lengths=8", "--batch_size=2", "--repeats=2")
    assert code == 0 and row["step_ms"] > 0 and row["compile_seconds"] > 0
    assert row["parity"] == parity
    assert row["allocated_bytes"] is None and row["compiled_bytes"] > 0
    assert "2 windows of 2 people" in " ".join(capsys.readouterr().out.split())
    assert out.read_bytes().startswith(b"\x89PNG")


def test_a_row_for_every_variant_and_one_check_for_each_scan(monkeypatch, tmp_path):
    asked = fake(monkeypatch, answer)
    code, rows, out = main(
        tmp_path, "--scans=best,chunked", "--precisions=float32,bfloat16",
        "--remat=on,off", "--lengths=64,96", "--batch_size=50",
    )  # fmt: skip
    assert code == 0 and len(rows) == 16
    checks = [request[1:3] for request in asked if request[0] == "parity"]
    assert checks == [
        (scan, precision)
        for scan in ("", "chunked")
        for precision in ("float32", "bfloat16")
    ]
    runs = [request[1:] for request in asked if request[0] == "measure"]
    assert runs[0] == runs[1] == ("", "float32", True)
    assert runs[2] == ("", "float32", False)
    text = out.with_suffix(".md").read_text()
    line = "| chunked | bfloat16 | off | 96 | 250 | 200 | 3 | 4 | 60 |"
    assert text.count(line) == 1


def test_a_wrong_scan_gets_no_figure_and_the_others_do(monkeypatch, tmp_path, capsys):

    def wrong(request, model):
        ok = model.scan != "chunked"
        parity = {"ok": ok, "other": "by the reference scan"}
        return parity if request["task"] == "parity" else answer(request, model)

    fake(monkeypatch, wrong)
    code, rows, out = main(tmp_path, "--scans=chunked,reference", "--lengths=64,96")
    assert code == 1
    # Rows are measured beside their check, and forgotten if it fails.
    assert {"device", "compiled_bytes"}.isdisjoint(rows[0])
    assert out.with_suffix(".md").read_text().count("| 250 |") == 2
    assert ["step_ms" in row for row in rows] == [False, False, True, True]
    assert "No figure is printed" in rows[0]["note"]
    assert "disagree" in " ".join(capsys.readouterr().out.split())


def test_a_row_that_does_not_fit_or_breaks_is_said(monkeypatch, tmp_path):

    def short(request, model):
        if request.get("length") == 128:
            return process.BenchmarkError("exit code 1: no driver")
        full = request.get("length") == 96
        fields = {"step_ms": None, "allocated_bytes": None} if full else {}
        return answer(request, model, **fields)

    fake(monkeypatch, short)
    code, rows, _ = main(tmp_path, "--lengths=64,96,128")
    assert code == 1
    assert [row.get("note") for row in rows] == [
        None, "out of memory", "exit code 1: no driver",
    ]  # fmt: skip
    assert not rows[1].get("failed") and rows[2]["failed"]


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--scans=fast", "`--scans`: expected some of best, reference"),
        ("--precisions=float16", "`--precisions`: expected some of float32"),
        ("--remat=maybe", "`--remat`: expected some of on, off"),
        ("--lengths=x", "`--lengths`: expected whole numbers"),
        ("--config.model.dimm=3", "did you mean 'dim'"),
    ],
)
def test_refuses_what_it_does_not_know(flag, message, capsys):
    with pytest.raises(SystemExit) as end:
        variants.main([flag])
    said = capsys.readouterr().err
    assert message in (said if end.value.code == 2 else end.value.code)


def test_help_says_what_is_measured(capsys):
    with pytest.raises(SystemExit):
        variants.main(["--help"])
    assert "--scans" in capsys.readouterr().out


def test_an_interrupted_table_goes_on(monkeypatch, tmp_path):
    def short(request, model):
        if request.get("length") == 96:
            return process.BenchmarkError("taken away")
        full = request.get("length") == 128
        fields = {"step_ms": None, "allocated_bytes": None} if full else {}
        return answer(request, model, **fields)

    flags = "--lengths=64,96,128"
    fake(monkeypatch, short)
    assert main(tmp_path, flags)[0] == 1
    asked = fake(monkeypatch, answer)
    code, rows, _ = main(tmp_path, flags)
    # There may be more memory another time.
    assert [task for task, *_ in asked] == ["measure", "measure"]
    assert code == 0 and [row["length"] for row in rows] == [64, 96, 128]
    # Other repeats are other figures.
    del asked[:]
    main(tmp_path, flags, "--repeats=3")
    assert [task for task, *_ in asked] == ["measure"] * 3


def test_a_system_gets_what_it_has(tmp_path):
    variant = variants.Variant("best", "bfloat16", remat=True, length=64)
    dat = variant.configure(small_system("dat")).model
    assert dat.remat and dat.compute_dtype == "bfloat16"
    with pytest.raises(ValueError, match="got dat, which has no scan"):
        variant._replace(scan="chunked").configure(small_system("dat"))
    with pytest.raises(ValueError, match="got baseline, which has no remat"):
        variant.configure(small_system("baseline"))
