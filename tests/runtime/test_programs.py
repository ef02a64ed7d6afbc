"""Programs: compiled beside other work, kept on disk, and made again when need be."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import damamba_jax
from damamba_jax.inference import estimator
from damamba_jax.kernels.selective_scan import api as selective_scan
from damamba_jax.runtime import programs
from damamba_jax.runtime.programs import Program, Shapes
from damamba_jax.training import step

VECTOR = jax.ShapeDtypeStruct((3,), jnp.float32)
SHAPES = ([VECTOR], {"a": VECTOR})


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of kept programs, on a machine of one device."""
    monkeypatch.setenv(programs.VARIABLE, str(tmp_path / "kept"))
    monkeypatch.setattr(jax, "device_count", lambda: 1)
    return programs.program_folder()


class Traced:
    """A function that counts how often it is traced."""

    def __init__(self):
        self.times = 0

    def __call__(self, leaves, batch):
        self.times += 1
        return [leaves[0] * 2], {"sum": leaves[0] + batch["a"]}


def run(function=None, **options):
    function = function or Traced()
    program = Program(function, SHAPES, name="test", **options)
    x = np.arange(3, dtype=np.float32)
    (doubled,), found = program([x], {"a": x})
    np.testing.assert_array_equal(doubled, 2 * x)
    np.testing.assert_array_equal(found["sum"], 2 * x)
    return function.times


def kept(folder):
    return list(folder.rglob("*.stablehlo"))


def test_without_jit_the_function_itself_runs(folder):
    function = Traced()
    with jax.disable_jit():
        for times in (1, 2):
            assert run(function, key="one") == times
    assert kept(folder) == []


def test_a_kept_program_is_not_traced_again(folder):
    assert run(key="one") == 1
    assert run(key="one") == 0
    assert run(key="two") == 1
    assert len(kept(folder)) == 2
    # No key: nothing says when the program may be used again.
    assert run() == 1 and run() == 1
    assert len(kept(folder)) == 2


def test_settings_and_code_are_part_of_the_name(folder, monkeypatch):
    assert run(key="one") == 1
    before = jax.config.values["jax_default_matmul_precision"]
    jax.config.update("jax_default_matmul_precision", "highest")
    try:
        assert run(key="one") == 1
    finally:
        jax.config.update("jax_default_matmul_precision", before)
    monkeypatch.setattr(programs, "package_sources", lambda: "other code")
    assert run(key="one") == 1


def test_the_code_is_that_of_every_module(monkeypatch):
    hashed = []
    monkeypatch.setattr(programs, "hash_sources", lambda p: hashed.extend(p) or "")
    programs.package_sources.__wrapped__()
    files = [path.resolve() for path in hashed]
    assert len(set(files)) == len(files)
    for module in (programs, estimator, step, selective_scan):
        assert Path(module.__file__).resolve() in files, module


def test_a_checkout_and_an_installation_of_it_have_the_same_code(tmp_path, monkeypatch):
    checkout, installed = tmp_path / "checkout", tmp_path / "installed" / "damamba_jax"
    code = {"damamba_jax/train.py": "a", "damamba_jax/zoo/x.py": "b"}
    beside = {"kernels/scan.py": "c", "configs/noxi.py": "d"}
    for name, text in (code | beside | {"tests/test_x.py": "e"}).items():
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        (checkout / name).write_text(text)
    shutil.copytree(checkout / "damamba_jax", installed)
    for name in ("kernels", "configs"):
        shutil.copytree(checkout / name, installed / name)

    def hash_of(*path):
        monkeypatch.setattr(damamba_jax, "__path__", [str(folder) for folder in path])
        return programs.package_sources.__wrapped__()

    without_link = hash_of(checkout / "damamba_jax", checkout)
    (checkout / "damamba_jax" / "kernels").symlink_to("../kernels")
    assert hash_of(checkout / "damamba_jax", checkout) == without_link
    assert hash_of(installed) == without_link
    # A configuration is a setting and no code.
    (installed / "configs" / "noxi.py").write_text("other")
    assert hash_of(installed) == without_link
    (installed / "kernels" / "scan.py").write_text("other")
    assert hash_of(installed) != without_link


def test_a_hash_changes_with_any_file(tmp_path):
    (tmp_path / "room").mkdir()
    for name in ("one.py", "room/two.py"):
        (tmp_path / name).write_text("x = 1\n")
    before = programs.hash_sources([tmp_path])
    assert before == programs.hash_sources([tmp_path])
    (tmp_path / "room" / "two.py").write_text("x = 2\n")
    assert programs.hash_sources([tmp_path]) != before


@pytest.mark.parametrize("damage", [b"", b"\0" * 100, "half"])
def test_a_damaged_program_is_made_again(folder, damage):
    run(key="one")
    (path,) = kept(folder)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] if damage == "half" else damage)
    assert run(key="one") == 1
    assert path.read_bytes() == whole and run(key="one") == 0


def test_what_cannot_be_kept_runs_all_the_same(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setattr(jax, "device_count", lambda: 1)
    monkeypatch.setenv(programs.VARIABLE, str(tmp_path / "file"))
    assert run(key="one") == 1 and run(key="one") == 1
    for off in ("off", "OFF", "0"):
        monkeypatch.setenv(programs.VARIABLE, off)
        assert programs.program_folder() is None
        assert run(key="one") == 1


def test_the_oldest_programs_go_first(folder, monkeypatch):
    run(key="one")
    (first,) = kept(folder)
    monkeypatch.setattr(programs, "MAX_LOWERED_BYTES", first.stat().st_size + 10)
    run(key="two")
    assert first not in kept(folder) and len(kept(folder)) == 1


def test_an_error_is_raised_where_the_program_is_called(folder):
    def wrong(leaves, batch):
        raise ValueError("as the user sees it")

    for key in ("", "one"):
        with pytest.raises(ValueError, match="as the user sees it"):
            Program(wrong, SHAPES, name="test", key=key).wait()


def test_shapes_are_equal_when_the_arrays_are_alike():
    one, two = ({"a": np.zeros((2, n), np.float32)} for n in (3, 4))
    assert Shapes.of(one) == Shapes.of(dict(one)) != Shapes.of(two)
    assert hash(Shapes.of(one)) == hash(Shapes.of(one))
    assert Shapes.of(one).tree["a"].shape == (2, 3)


def test_jax_keeps_what_it_compiles_unless_the_user_chose_a_place(tmp_path):
    program = (
        "import jax; from damamba_jax.runtime import programs; "
        "programs.keep_programs(); print(jax.config.values['{}'])"
    )
    for env, expected in (
        ({"DAMAMBA_CACHE": str(tmp_path)}, str(tmp_path)),
        ({"DAMAMBA_CACHE": "off"}, "None"),
        ({"DAMAMBA_CACHE": str(tmp_path), "JAX_COMPILATION_CACHE_DIR": "x"}, "x"),
        ({"XDG_CACHE_HOME": str(tmp_path / "home"), "DAMAMBA_CACHE": ""}, "home"),
    ):
        done = subprocess.run(
            [sys.executable, "-c", program.format("jax_compilation_cache_dir")],
            env={**os.environ, **env}, capture_output=True, text=True,
            check=True,
        )  # fmt: skip
        assert expected in done.stdout
