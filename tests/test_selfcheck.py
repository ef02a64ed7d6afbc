"""The check of the scans: it must notice what is wrong, and say what is not here."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from damamba_jax import selfcheck
from damamba_jax.kernels import checks
from damamba_jax.kernels.selective_scan import IMPLEMENTATIONS, Support
from damamba_jax.kernels.selective_scan.arg_specs import ArgSpec
from damamba_jax.studies import scan_checks

CHECK = checks.Check(sizes=ArgSpec(1, 3, 2, 2), alone=True)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Two checks that compile in a moment, on one implementation."""
    rounded = dataclasses.replace(
        CHECK, dtype="bfloat16", reverse=True, without=("z",), alone=False
    )
    checks = {"tiny": CHECK, "rounded": rounded}
    monkeypatch.setattr(scan_checks, "CHECKS", checks)
    names = {"reference": IMPLEMENTATIONS["reference"]}
    monkeypatch.setattr(scan_checks, "IMPLEMENTATIONS", names)


def replace_reference(monkeypatch, **fields):
    entry = IMPLEMENTATIONS["reference"]._replace(**fields)
    monkeypatch.setitem(IMPLEMENTATIONS, "reference", entry)


def words(capsys):
    """What was printed, without line breaks and borders of tables."""
    return " ".join(capsys.readouterr().out.replace("|", " ").split())


def test_says_what_is_fine_and_what_none_takes(capsys):
    assert selfcheck.main([]) == 0
    printed = words(capsys)
    assert f"jax: {jax.__version__}" in printed and "device: cpu" in printed
    assert "reference ok" in printed and "2 of 2" in printed
    assert "paper_feature (B 256, L 96, D 512, N 16), bfloat16: chunked" in printed


@pytest.mark.parametrize(
    ("array", "wrong"), [("y", 1.001), ("h_last", 1.001), ("y", float("nan"))]
)
def test_fails_and_names_the_wrong_array(monkeypatch, capsys, array, wrong):
    run = IMPLEMENTATIONS["reference"].run

    def broken(*args, **options):
        output = run(*args, **options)
        value = getattr(output, array)
        return output._replace(**{array: value * jnp.asarray(wrong, value.dtype)})

    replace_reference(monkeypatch, run=broken)
    assert selfcheck.main([]) == 1
    printed = words(capsys)
    assert "reference FAILED" in printed
    assert "reference: tiny: " in printed
    assert f" {array} by" in printed and f" {array} alone by" in printed
    assert "failed: reference" in printed


def test_a_wrong_gradient_alone_fails(monkeypatch, capsys):
    run = IMPLEMENTATIONS["reference"].run

    @jax.custom_vjp
    def same(v):
        return v

    same.defvjp(lambda v: (v, None), lambda _, g: (g * jnp.float32(1.003),))
    replace_reference(
        monkeypatch,
        run=lambda arrays, options: run(arrays._replace(a=same(arrays.a)), options),
    )
    assert selfcheck.main([]) == 1
    printed = words(capsys)
    assert "tiny: gradient of a by 3.0e-03 " in printed
    assert "rounded: gradient of a" not in printed  # within bfloat16


def test_an_exception_is_a_failure_of_that_implementation(monkeypatch, capsys):
    def broken(*args, **options):
        raise RuntimeError("no kernel image\nfor this device")

    replace_reference(monkeypatch, run=broken)
    assert selfcheck.main([]) == 1
    assert "tiny: RuntimeError: no kernel image" in words(capsys)


def test_what_cannot_run_here_fails_only_if_asked_for(monkeypatch, capsys):
    entry = IMPLEMENTATIONS["reference"]
    elsewhere = entry._replace(supports=lambda case: Support(False, "Needs a GPU."))
    monkeypatch.setitem(IMPLEMENTATIONS, "elsewhere", elsewhere)
    monkeypatch.setitem(scan_checks.IMPLEMENTATIONS, "elsewhere", elsewhere)
    assert selfcheck.main([]) == 0
    printed = words(capsys)
    assert "elsewhere not here" in printed
    assert printed.count("elsewhere, left out: Needs a GPU.") == 1
    assert selfcheck.main(["--implementation=elsewhere"]) == 1
    assert "failed: elsewhere" in words(capsys)


def test_errors_are_relative_to_the_largest_value_and_keep_nan():
    want = {"y": np.array([1.0, -4.0]), "z": np.zeros(2)}
    got = {"y": np.array([1.0, -3.0]), "z": np.array([0.0, np.nan])}
    found = checks.errors(got, want)
    assert found["y"] == 0.25 and np.isnan(found["z"])


def test_refuses_unknown_names_and_helps(capsys):
    with pytest.raises(SystemExit) as end:
        selfcheck.main(["--implementation=referense"])
    said = capsys.readouterr().err
    assert end.value.code == 2 and "did you mean 'reference'?" in said
    with pytest.raises(SystemExit) as end:
        selfcheck.main(["--help"])
    assert end.value.code == 0
    assert "--implementation" in capsys.readouterr().out
