"""Runs the training command on the smallest corpus, in processes that can be killed."""

import os
import subprocess
import sys
from pathlib import Path

from compiler_flags import fast_compilation

from damamba_jax.config.sections import Config
from damamba_jax.config.tree import from_config_dict
from damamba_jax.runtime.config_files import load_config

ROOT = Path(__file__).resolve().parent.parent


def configure(cache_dir: Path, **overrides) -> Config:
    """What the command would be told, for runs within this process."""
    config = load_config(f"{ROOT}/configs/noxi.py:tiny")
    fields = {"data.cache_dir": str(cache_dir), **overrides}
    for field, value in fields.items():
        *groups, name = field.split(".")
        group = config
        for part in groups:
            group = group[part]
        with group.ignore_type():
            group[name] = value
    return from_config_dict(config)


# Runs the command; sends this very process a signal at a named point.
PROGRAM = """
import os, runpy, sys, threading

point, number = sys.argv[1], int(sys.argv[2])
del sys.argv[1:3]


def kill():
    os.kill(os.getpid(), number)


def wrap(owner, name, before=None, after=None):
    original = getattr(owner, name)

    def wrapped(*args, **kwargs):
        if before is not None:
            before(*args)
        result = original(*args, **kwargs)
        if after is not None:
            after(*args)
        return result

    setattr(owner, name, wrapped)


from damamba_jax.runs import checkpoints
from damamba_jax.studies import runs
from damamba_jax.training import meter, saver, validation

if point == "step":  # the third one
    wrap(meter.Meter, "add", after=lambda _, step, __: step == 3 and kill())
elif point == "best":  # saved, but not yet logged
    wrap(saver.Saver, "save_best", after=lambda *_: kill())
elif point == "save":  # files half written
    wrap(checkpoints.Checkpoints, "save",
         before=lambda *_: threading.Timer(0.03, kill).start())
elif point == "validation":  # between its batches
    make = validation.compile_predict

    def compile_predict(*args):
        predict = make(*args)

        def killing(*args, **kwargs):
            kill()
            return predict(*args, **kwargs)

        return killing

    validation.compile_predict = compile_predict
elif point == "evaluation":
    wrap(runs, "evaluate", before=lambda *_: kill())
elif point == "":  # tell what pictures say instead
    from matplotlib import figure, text

    wrap(figure.Figure, "savefig", before=lambda drawn, *_: print(
        "picture:", [t.get_text() for t in drawn.findobj(text.Text)]))
else:
    raise ValueError(point)
runpy.run_module("damamba_jax.train", run_name="__main__", alter_sys=True)
"""


def command(workdir: Path, *flags: str, killed: tuple[str, int] | None = None):
    """The command line; `killed` is (point, signal)."""
    point, number = killed or ("", 0)
    return [
        sys.executable,
        "-c",
        PROGRAM,
        point,
        str(int(number)),
        "--config=configs/noxi.py:tiny",
        f"--config.data.cache_dir={workdir.parent / 'cache'}",
        f"--workdir={workdir}",
        *flags,
    ]


def environment(compiled: Path | None, *, devices: int = 1) -> dict[str, str]:
    """Compiled programs are shared through the folder `compiled`, if there is one."""
    env = {
        **os.environ,
        "JAX_PLATFORMS": "cpu",
        "MPLBACKEND": "agg",
        "PYTHONPATH": str(ROOT),
        "XLA_FLAGS": fast_compilation(devices=devices),
    }
    if compiled is not None:
        env |= {
            "JAX_COMPILATION_CACHE_DIR": str(compiled),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "0",
        }
    return env


def start(workdir: Path, *flags: str, compiled=None, killed=None, devices=1):
    """Starts the command; its output is text in pipes."""
    return subprocess.Popen(
        command(workdir, *flags, killed=killed),
        env=environment(compiled, devices=devices),
        cwd=workdir.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(workdir: Path, *flags: str, compiled=None, killed=None):
    """Runs the command to its end: (exit status, stdout, stderr)."""
    child = start(workdir, *flags, compiled=compiled, killed=killed)
    try:
        out, log = child.communicate(timeout=240)
    finally:
        child.kill()
    return child.returncode, out, log
