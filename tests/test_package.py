"""The package as a whole: what its modules import, and what a wheel holds."""

import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted(
    path
    for folder in ("damamba_jax", "kernels", "configs")
    for path in (ROOT / folder).rglob("*.py")
    if "build" not in path.parts
)


def test_no_module_shadows_the_standard_library():
    # A command that is run by its path would find our `types` before Python's.
    commands = {path.stem for path in SOURCES if path.parent.name == "damamba_jax"}
    assert not commands & set(sys.stdlib_module_names)


def test_bare_kernels_is_refused():
    done = subprocess.run(
        [sys.executable, "-c", "import kernels"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert "from damamba_jax.kernels import selective_scan" in done.stderr


def test_wheel_works_outside_the_checkout(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    tracked = ["setup.py", "setup.cfg", "pyproject.toml", "README.md", "LICENSE"]
    for name in [*tracked, "damamba_jax", "kernels", "configs"]:
        (source / name).symlink_to(ROOT / name)
    # What an earlier build left; the module is gone since.
    stale = source / "build" / "lib" / "damamba_jax" / "stale.py"
    stale.parent.mkdir(parents=True)
    stale.touch()
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w",
         str(tmp_path), "."],
        cwd=source, check=True,
    )  # fmt: skip
    (wheel,) = tmp_path.glob("*.whl")
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
        names = archive.namelist()
        tops = {Path(name).parts[0] for name in names}
    assert {t for t in tops if not t.endswith(".dist-info")} == {"damamba_jax"}
    assert "damamba_jax/py.typed" in names
    assert "damamba_jax/stale.py" not in names
    program = (
        "import damamba_jax, sys; assert damamba_jax.__file__.startswith(sys.argv[1]);"
        "from damamba_jax.kernels import selective_scan;"
        "from damamba_jax.runtime.config_files import find_config;"
        "print(find_config('configs/noxi.py:demo'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(site)],
        cwd=tmp_path, env={"PYTHONPATH": str(site), "JAX_PLATFORMS": "cpu"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == f"{site}/damamba_jax/configs/noxi.py:demo"


def test_every_module_is_installed():
    import configparser

    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    listed = set(setup["options"]["packages"].split())
    for path in SOURCES:
        parts = path.relative_to(ROOT).parent.parts
        package = ".".join(
            parts if parts[0] == "damamba_jax" else ("damamba_jax", *parts)
        )
        assert package in listed, f"{package} is not in setup.cfg"


def test_every_module_loads_without_what_only_posix_has():
    names = [".".join(("damamba_jax", *module_of(path))) for path in SOURCES]
    program = (
        "import importlib, sys\n"
        "sys.modules['fcntl'] = sys.modules['resource'] = None\n"
        "for name in sys.argv[1:]: importlib.import_module(name)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *names], cwd=ROOT, capture_output=True,
        text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]


def module_of(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    parts = parts[1:] if parts[0] == "damamba_jax" else parts
    return parts[:-1] if parts[-1] == "__init__" else parts
