"""Memory and time of one training step at one length, in a process of its own.

`process.py` starts it for the benchmarks, writes a request as JSON to its standard
input and reads the answer from the last line of its standard output:

    {"task": "platform" | "parity" | "start" | "compile" | "measure", "config": {...},
     "length": 96, "run_on_cpu": false, "repeats": 10, "turns": "", "parent": 1234}

`compile` is for the compilation cache, from which a later `measure` reads. `start` is
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

# After the first step the optimizer's buffers exist; after the second, nothing is new.
STEPS = 3
# Timed steps after these stop early once they took so many seconds together.
MOST_SECONDS = 20.0
LOSS_TOLERANCE = {"float32": 1e-5, "bfloat16": 2e-2}
# Of a kernel in a lowered program: equal ones are compiled once.
KERNEL_HASH = re.compile(r'kernel_hash = "([^"]*)"')
# Windows of the check hold so many frames at least.
CHECKED_FRAMES = 32


def resize(config: Config, *, length: int, batch_size: int) -> Config:
    """Sets the window: a third of it core, as in the paper, context on both sides."""
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
    """The jitted step as `train.py` runs it, and the shapes of its three arguments."""
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
    """Sizes of the configuration's batches."""
    return batch_shape(config.data, batch_size=config.train.batch_size)


def _noise(config: Config) -> dict[str, Any]:
    """A batch of noise."""
    return random_batch(config.data, batch_size=config.train.batch_size, seed=1)


def real_arguments(config: Config) -> tuple[Any, ...]:
    """Arguments of the step, drawn and put on the device."""
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
    """Runs a step of two windows, and the same computed in another way.

    Everything but that way is the measured configuration, widths included.

    Returns:
      `ok`, what the `other` way is, the two losses, gradient norms and the tolerance of
      the loss.
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
        # Gradients pass through cancelling sums: one digit less than the loss.
        and abs(norm - other_norm) <= 10 * tolerance * other_norm
    )
    return {"ok": ok, "other": other, "tolerance": tolerance,
            "loss": loss, "other_loss": other_loss,
            "grad_norm": norm, "other_grad_norm": other_norm}  # fmt: skip


def other_way(model: SystemConfig) -> tuple[SystemConfig, str]:
    """Changes how a system computes the same, and says how.

    It is without remat (with it, if the configuration has none) and by the reference
    scan, of what the system has.
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
    """Runs one step, and says whether it was one."""
    # A GPU would multiply float32 matrices in TF32, three digits coarser than what is
    # compared.
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
    """Compiles one step; on a GPU, or if asked to, also runs it.

    Args:
      config: what is trained.
      length: frames of a window.
      run_on_cpu: whether the step also runs where that takes long.
      repeats: timed steps, at most.
      turns: file by whose lock processes that compile side by side run their steps
        one at a time.

    Returns:
      Number of parameters; bytes of state, input, temporaries and the compiled peak;
      seconds of compilation; of a step that runs, its median milliseconds, and on a GPU
      the peak of the allocator over `STEPS` steps and up to the first. These are None
      where it ran out of memory.
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
        "device": device.device_kind,
        "jax": jax.__version__,
        "python": platform.python_version(),
        "date": str(datetime.date.today()),
    }
    if device.platform == "cpu" and not run_on_cpu:
        return result
    # Compilation tries kernels out on the device, and a peak cannot be reset.
    result["compilation_bytes"] = _peak_bytes()
    with _turn(turns, fcntl.LOCK_EX):
        return result | _run(config, compiled, repeats=repeats)


def _compile(
    config: Config, length: int, turns: str
) -> tuple[Config, jax.stages.Compiled, tuple[Any, ...], float]:
    """The resized configuration, its compiled step, shapes of arguments, seconds."""
    config = resize(config, length=length, batch_size=config.train.batch_size)
    step, shapes = step_and_shapes(config)
    with _turn(turns, fcntl.LOCK_SH):
        start = time.perf_counter()
        compiled = step.lower(*shapes).compile()
        seconds = time.perf_counter() - start
    return config, compiled, shapes, seconds


def measure_start(config: Config, *, repeats: int = 10) -> dict[str, Any]:
    """Times what comes before the first step, one part after the other, and steps.

    Args:
      config: what is trained.
      repeats: timed steps after the first.

    Returns:
      Seconds of tracing, lowering, compiling and the first step; the number of distinct
      GPU kernels; the median milliseconds of a step; the device and JAX's version.
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
        "device": jax.local_devices()[0].device_kind,
        "jax": jax.__version__,
    }


@contextlib.contextmanager
def _turn(path: str, kind: int) -> Iterator[None]:
    """Holds the lock of a file, if there is one.

    Compilations share it: they try kernels out on the device, and no step is timed
    meanwhile.
    """
    with open(path or os.devnull, "a") as file:
        if path:
            fcntl.flock(file, kind)
        yield


def _run(
    config: Config, compiled: jax.stages.Compiled, *, repeats: int
) -> dict[str, Any]:
    """Runs a compiled step; what ran out of memory gives nothing."""
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
    """Peak of the device's allocator; a CPU has none that counts."""
    counts = jax.local_devices()[0].memory_stats()
    return counts["peak_bytes_in_use"] if counts else None


def _bytes(tree: Any) -> int:
    return sum(math.prod(x.shape) * x.dtype.itemsize for x in jax.tree.leaves(tree))


def _end_with(parent: int) -> None:
    """Ends this process soon after the one that started it: nobody reads the answer."""
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
