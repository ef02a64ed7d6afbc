"""Memory and time of one training step at one length, in a process of its own.

`process.py` starts this module for the benchmarks. It writes a request as JSON to the
standard input, and reads the answer from the last line of the standard output. A
request is:

    {"task": "platform" | "parity" | "start" | "compile" | "measure", "config": {...},
     "length": 96, "run_on_cpu": false, "repeats": 10, "turns": "", "parent": 1234}

`compile` fills the compilation cache, from which a later `measure` reads. `start` is
for `cold_start.py`.
"""

import contextlib
import dataclasses
import datetime
import fcntl
import json
import math
import os
import platform
import re
import statistics as stats
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from benchmarks.compiled import account
from damamba_jax.config.sections import Config
from damamba_jax.config.systems import DAMambaConfig, DATConfig, SystemConfig
from damamba_jax.config.tree import from_tree
from damamba_jax.models import functional
from damamba_jax.models.functional import abstract_model, build_model
from damamba_jax.schema.batch import (
    BatchShape,
    abstract_batch,
    batch_shape,
    random_batch,
)
from damamba_jax.training import optim
from damamba_jax.training import state as train_state
from damamba_jax.training import step as train_step

# Steps before the timed ones. After the first step the optimizer's buffers exist, and
# after the second one no new buffers appear.
STEPS = 3
# The timed steps stop early if all of them together took this many seconds.
MOST_SECONDS = 20.0
LOSS_TOLERANCE = {"float32": 1e-5, "bfloat16": 2e-2}
# The hash of a kernel in a lowered program. Equal kernels are compiled only once.
KERNEL_HASH = re.compile(r'kernel_hash = "([^"]*)"')
# Windows of the check have at least this many frames.
CHECKED_FRAMES = 32


def resize(config: Config, *, length: int, batch_size: int) -> Config:
    """Sets the window. As in the paper, a third of it is core, between two contexts."""
    context = length // 3
    window = dataclasses.replace(
        config.data.window,
        past_frames=context,
        core_frames=length - 2 * context,
        future_frames=context,
    )
    return dataclasses.replace(
        config,
        data=dataclasses.replace(config.data, window=window),
        train=dataclasses.replace(config.train, batch_size=batch_size),
    )


def step_and_shapes(config: Config) -> tuple[Any, tuple[Any, ...]]:
    """Returns the jitted step of a training run, and the shapes of its arguments."""
    graphdef, params = abstract_model(config.model, config.data)
    optimizer = optim.optimizer(config.optim, config.train.steps)
    state = jax.eval_shape(
        lambda params: train_state.create(params, optimizer, config.seed), params
    )
    statistics = {
        f.name: (jax.ShapeDtypeStruct((f.dim,), np.float32),) * 2
        for f in config.data.features
    }
    step = train_step.jit_train_step(
        config.model, config.data, config.optim, num_steps=config.train.steps
    )
    return step, (state, abstract_batch(_shape(config)), statistics)


def _shape(config: Config) -> BatchShape:
    """Returns the sizes of the configuration's batches."""
    return batch_shape(config.data, batch_size=config.train.batch_size)


def _noise(config: Config) -> dict[str, Any]:
    """Makes a batch of noise."""
    return random_batch(config.data, batch_size=config.train.batch_size, seed=1)


def real_arguments(config: Config) -> tuple[Any, ...]:
    """Draws the arguments of the step and puts them on the device."""
    params = functional.split_model(
        build_model(config.model, config.data, seed=config.seed)
    )[1]
    optimizer = optim.optimizer(config.optim, config.train.steps)
    statistics = {
        f.name: (np.zeros(f.dim, np.float32), np.ones(f.dim, np.float32))
        for f in config.data.features
    }
    return (
        train_state.create(params, optimizer, config.seed),
        *jax.device_put((_noise(config), statistics)),
    )


def check_parity(config: Config) -> dict[str, Any]:
    """Runs a step of two windows, and the same step computed in another way.

    Apart from that way and the short windows, the configuration is the measured one.

    Returns:
      `ok`, whether both agree; `other`, the other way in words; and the two losses, the
      two gradient norms and the tolerance of the loss.
    """
    frames = max(CHECKED_FRAMES, 2 * config.model.frame_multiple)
    small = resize(config, length=frames, batch_size=2)
    model, other = other_way(config.model)
    run = _run_once(small)
    other_run = _run_once(dataclasses.replace(small, model=model))
    tolerance = LOSS_TOLERANCE[config.model.compute_dtype]
    loss, other_loss = run["loss"], other_run["loss"]
    norm, other_norm = run["grad_norm"], other_run["grad_norm"]
    ok = (
        run["ran"]
        and other_run["ran"]
        and abs(loss - other_loss) <= tolerance * max(1.0, abs(other_loss))
        # Gradients pass through sums of numbers that cancel, so that they have one
        # digit less than the loss.
        and abs(norm - other_norm) <= 10 * tolerance * other_norm
    )
    return {"ok": ok, "other": other, "tolerance": tolerance,
            "loss": loss, "other_loss": other_loss,
            "grad_norm": norm, "other_grad_norm": other_norm}  # fmt: skip


def other_way(model: SystemConfig) -> tuple[SystemConfig, str]:
    """Changes how a system computes the same result, and names the change.

    The change switches `remat` and takes the reference scan, as far as the system has
    them.
    """
    if not isinstance(model, DAMambaConfig | DATConfig):
        return model, "a second time, having neither remat nor a scan"
    text = f"{'without' if model.remat else 'with'} remat"
    if isinstance(model, DATConfig):
        return dataclasses.replace(model, remat=not model.remat), text
    if model.encoder == "mamba":
        text += ", by the reference scan"
    return dataclasses.replace(model, remat=not model.remat, scan="reference"), text


def _run_once(config: Config) -> dict[str, Any]:
    """Runs one step, and says whether it changed the state and gave a finite loss."""
    # A GPU would multiply float32 matrices in TF32, which is three digits too coarse
    # for the comparison.
    with jax.default_matmul_precision("highest"):
        state, metrics = step_and_shapes(config)[0](*real_arguments(config))
    found = {name: float(metrics[name]) for name in ("loss", "grad_norm", "skipped")}
    moved = int(state.step) == 1 and found["skipped"] == 0
    return {**found, "ran": moved and math.isfinite(found["loss"])}


def measure(
    config: Config,
    *,
    length: int,
    run_on_cpu: bool = False,
    repeats: int = 10,
    turns: str = "",
) -> dict[str, Any]:
    """Compiles one step. On a GPU, or with `run_on_cpu`, the step also runs.

    Args:
      config: the configuration whose step is measured.
      length: the number of frames of a window.
      run_on_cpu: whether the step also runs on a CPU, which may take long.
      repeats: the largest number of timed steps.
      turns: the path of a file. Processes that compile side by side use its lock to run
        their steps one at a time. If it is empty, there is no lock.

    Returns:
      The number of parameters; the bytes of state, input, temporaries and the compiled
      peak; the seconds of compilation. If the step runs, also its median milliseconds,
      and on a GPU the allocator's peak over the steps and its peak before the first
      step. Time and peak are None if the step ran out of memory.
    """
    config, compiled, shapes, compile_seconds = _compile(config, length, turns)
    memory = account(compiled)
    device = jax.local_devices()[0]
    result = {
        "length": length,
        "parameters": sum(map(math.prod, shapes[0].params.layout.shapes)),
        "state_bytes": _bytes(shapes[0]),
        "input_bytes": _bytes(shapes[1:]),
        "temporary_bytes": memory.temporary_bytes,
        "compiled_bytes": memory.peak_bytes,
        "allocated_bytes": None,
        "compilation_bytes": None,
        "compile_seconds": compile_seconds,
        "step_ms": None,
        "platform": device.platform,
        **_made_by(),
    }
    if device.platform == "cpu" and not run_on_cpu:
        return result
    # Compilation tries kernels out on the device, and a peak cannot be reset. So the
    # peak before the steps is kept too.
    result["compilation_bytes"] = _peak_bytes()
    with _turn(turns, fcntl.LOCK_EX):
        return result | _run(config, compiled, repeats=repeats)


def _made_by() -> dict[str, str]:
    """Says which device and software measure, and when."""
    return {
        "device": jax.local_devices()[0].device_kind,
        "jax": jax.__version__,
        "python": platform.python_version(),
        "date": str(datetime.date.today()),
    }


def _compile(
    config: Config, length: int, turns: str
) -> tuple[Config, jax.stages.Compiled, tuple[Any, ...], float]:
    """Compiles the step for windows of `length` frames.

    Returns:
      The resized configuration, the compiled step, the shapes of its arguments, and the
      seconds of compilation.
    """
    config = resize(config, length=length, batch_size=config.train.batch_size)
    step, shapes = step_and_shapes(config)
    with _turn(turns, fcntl.LOCK_SH):
        start = time.perf_counter()
        compiled = step.lower(*shapes).compile()
        seconds = time.perf_counter() - start
    return config, compiled, shapes, seconds


def measure_start(config: Config, *, repeats: int = 10) -> dict[str, Any]:
    """Times each part of the work before the first step, and later steps.

    Args:
      config: the configuration whose step is measured.
      repeats: the largest number of timed steps.

    Returns:
      The seconds of tracing, lowering, compiling and the first step; the number of
      distinct GPU kernels; the median milliseconds of a step; the device, the versions
      of JAX and Python, and the date.
    """
    step, shapes = step_and_shapes(config)
    seconds, previous = {}, time.perf_counter()

    def lap(part: str) -> None:
        nonlocal previous
        now = time.perf_counter()
        seconds[f"{part}_seconds"], previous = now - previous, now

    traced = step.trace(*shapes)
    lap("trace")
    lowered = traced.lower()
    lap("lower")
    kernels = len(set(KERNEL_HASH.findall(lowered.as_text())))
    previous = time.perf_counter()
    compiled = lowered.compile()
    lap("compile")
    arguments = jax.block_until_ready(real_arguments(config))
    previous = time.perf_counter()
    jax.block_until_ready(compiled(*arguments))
    lap("first_step")
    del arguments
    return {
        **seconds,
        "kernels": kernels,
        "step_ms": _run(config, compiled, repeats=repeats)["step_ms"],
        **_made_by(),
    }


@contextlib.contextmanager
def _turn(path: str, kind: int) -> Iterator[None]:
    """Holds the lock of a file, if a file is given.

    Compilations share the lock. They try kernels out on the device, so that no step may
    be timed at the same time.
    """
    with open(path or os.devnull, "a") as file:
        if path:
            fcntl.flock(file, kind)
        yield


def _run(
    config: Config, compiled: jax.stages.Compiled, *, repeats: int
) -> dict[str, Any]:
    """Runs a compiled step. The result is empty if the step ran out of memory."""
    try:
        state, batch, statistics = real_arguments(config)
        for _ in range(STEPS):
            state, _metrics = compiled(state, batch, statistics)
        jax.block_until_ready(state)
        times: list[float] = []
        while len(times) < repeats and sum(times) < MOST_SECONDS:
            start = time.perf_counter()
            state, metrics = compiled(state, batch, statistics)
            jax.block_until_ready((state, metrics))
            times.append(time.perf_counter() - start)
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        return {}
    return {
        "allocated_bytes": _peak_bytes(),
        "step_ms": 1e3 * stats.median(times),
    }


def _peak_bytes() -> int | None:
    """Returns the peak of the device's allocator, or None on a CPU."""
    counts = jax.local_devices()[0].memory_stats()
    return counts["peak_bytes_in_use"] if counts else None


def _bytes(tree: Any) -> int:
    return sum(math.prod(x.shape) * x.dtype.itemsize for x in jax.tree.leaves(tree))


def _end_with(parent: int) -> None:
    """Ends this process soon after its parent, since nobody would read the answer."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)


def main() -> None:
    """Answers one request."""
    request = json.load(sys.stdin)
    parent = request.get("parent", os.getppid())
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    config = from_tree(request["config"])
    if request["task"] == "platform":
        answer = {"platform": jax.default_backend()}
    elif request["task"] == "parity":
        with _turn(request.get("turns", ""), fcntl.LOCK_SH):
            answer = check_parity(config)
    elif request["task"] == "start":
        # Every part is timed, so no other process may compile or run at the same time.
        with _turn(request.get("turns", ""), fcntl.LOCK_EX):
            answer = measure_start(config, repeats=request["repeats"])
    elif request["task"] == "compile":
        *_, seconds = _compile(config, request["length"], request.get("turns", ""))
        answer = {"compile_seconds": seconds}
    else:
        options = ("length", "run_on_cpu", "repeats", "turns")
        answer = measure(config, **{k: request[k] for k in options if k in request})
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
