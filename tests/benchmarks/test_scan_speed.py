"""The benchmark of the scan, on a shape that takes milliseconds."""

import importlib.util
import pathlib

import pytest

from damamba_jax.kernels.selective_scan import IMPLEMENTATIONS
from damamba_jax.kernels.selective_scan.arg_specs import ArgSpec

PATH = pathlib.Path(__file__).parents[2] / "benchmarks" / "scan_speed.py"


@pytest.fixture
def benchmark(monkeypatch):
    spec = importlib.util.spec_from_file_location("scan_speed", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setitem(module.ARG_SPECS, "tiny", ArgSpec(2, 5, 3, 2))
    for name in ("associative", "chunked"):
        monkeypatch.setitem(IMPLEMENTATIONS, name, IMPLEMENTATIONS[name])
    return module


def test_prints_a_table_and_writes_a_picture(benchmark, tmp_path, capsys):
    out = tmp_path / "scan.png"
    assert benchmark.main(["--shapes=tiny", "--repeats=1", f"--out={out}"]) == 0
    printed = capsys.readouterr().out
    lines = [line.split("|") for line in printed.splitlines() if "| tiny" in line]
    by = [(line[3].strip(), line[2].strip()) for line in lines]
    runs = ("forward", "forward_backward")
    assert by == [(name, run) for name in IMPLEMENTATIONS for run in runs]
    assert all(float(line[4]) > 0.0 for line in lines)
    assert out.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("wrong", [1.001, float("nan")])
def test_no_speed_of_a_wrong_result(benchmark, wrong, tmp_path, capsys):
    entry = IMPLEMENTATIONS["chunked"]

    def run(*args, **options):
        output = entry.run(*args, **options)
        return output._replace(y=output.y * wrong)

    IMPLEMENTATIONS["chunked"] = entry._replace(run=run)
    del IMPLEMENTATIONS["associative"]
    argv = ["--shapes=tiny", "--repeats=1", f"--out={tmp_path / 'scan.png'}"]
    assert benchmark.main(argv) == 1
    printed = capsys.readouterr().out
    assert "tiny: chunked disagrees with reference" in printed
    assert "| chunked " not in printed
