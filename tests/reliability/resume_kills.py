"""Kills training at random moments, and compares what its resumed runs end with.

    python tests/reliability/resume_kills.py [--runs=10] [--seed=0] [--out=DIR]

One small run on the simulated corpus goes through uninterrupted. Each further run is
killed one to three times, at moments drawn uniformly over the time that the first one
took, by SIGKILL or SIGTERM, and resumed each time by the same command. In the end the
digests of all saved arrays (parameters, their average, optimizer, random state), the
best checkpoint and every byte of `metrics.jsonl` must equal the first run's. Fails if
any differs, or if SIGTERM takes longer than 10 s.
"""

import datetime
import json
import os
import platform
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from damamba_jax.runtime.parser import Parser, whole

ROOT = Path(__file__).resolve().parents[2]
SECONDS_TO_STOP = 10.0
STEPS = 400
OVERRIDES = {
    "train.steps": STEPS,
    "train.batch_size": 16,
    "train.eval_every": 50,
    "train.save_every": 35,
    "train.eval_batches": 5,
}


class Kill(NamedTuple):
    """One interruption: when, by which signal, what was going on."""

    seconds: float
    signal: signal.Signals
    phase: str
    seconds_to_exit: float
    status: int


class Run(NamedTuple):
    """One interrupted run, and whether it ended as the uninterrupted one."""

    kills: tuple[Kill, ...]
    identical: bool


def start(workdir: Path, cache: Path) -> subprocess.Popen:
    """Starts the training command, quietly."""
    values = {**OVERRIDES, "data.cache_dir": cache}
    env = {**os.environ, "PYTHONPATH": str(ROOT), "MPLBACKEND": "agg"}
    # Toy models compile in half the time, and run as fast.
    env.setdefault(
        "XLA_FLAGS",
        "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true",
    )
    return subprocess.Popen(
        [
            sys.executable, "-m", "damamba_jax.train", "--config=configs/noxi.py:tiny",
            *(f"--config.{field}={value}" for field, value in values.items()),
            f"--workdir={workdir}",
        ],
        cwd=workdir.parent, env=env,
        stdout=(workdir.parent / f"{workdir.name}.log").open("a"),
        stderr=subprocess.STDOUT,
    )  # fmt: skip


def finish(workdir: Path, cache: Path) -> float:
    """Runs to the end; returns the seconds that it took."""
    begin = time.monotonic()
    status = start(workdir, cache).wait()
    if status:
        raise SystemExit(f"{workdir}.log: training ended with status {status}.")
    return time.monotonic() - begin


def interrupt(workdir: Path, cache: Path, number: signal.Signals, seconds: float):
    """Starts, waits and kills; None if the run was over before that."""
    before = last_line(workdir)
    process = start(workdir, cache)
    try:
        process.wait(timeout=seconds)
        return None
    except subprocess.TimeoutExpired:
        pass
    now = last_line(workdir)
    if now == before:
        phase = "start and compilation"
    elif now < before:
        phase = f"resumed at step {now}"  # the log is cut back, and not yet passed
    elif now >= STEPS:
        phase = "evaluation"
    else:
        phase = f"after step {now}"
    begin = time.monotonic()
    process.send_signal(number)
    status = process.wait()
    return Kill(seconds, number, phase, time.monotonic() - begin, status)


def last_line(workdir: Path) -> int:
    """Step of the last whole line of the log; 0 before the first."""
    path = workdir / "metrics.jsonl"
    lines = path.read_text().rpartition("\n")[0] if path.exists() else ""
    return json.loads(lines.splitlines()[-1])["step"] if lines else 0


def outcome(workdir: Path) -> dict:
    """Everything that must be equal."""
    found = {"metrics": (workdir / "metrics.jsonl").read_bytes()}
    for path in (workdir / "checkpoints").glob("*/[0-9]*/meta/metadata"):
        step, name = path.parts[-3], path.parts[-4]
        if name == "best" or int(step) == STEPS:
            found[f"{name}/{step}"] = json.loads(path.read_text())["digest"]
    return found


def measure(folder: Path, runs: int, seed: int) -> tuple[float, list[Run]]:
    """Returns the seconds of the uninterrupted run, and the interrupted ones."""
    cache = folder / "cache"
    rng = random.Random(seed)
    finish(folder / "first", cache)  # writes the corpus
    seconds = finish(folder / "uninterrupted", cache)
    expected = outcome(folder / "uninterrupted")
    assert expected == outcome(folder / "first"), "two plain runs differ"
    found = []
    for number in range(runs):
        workdir = folder / f"killed-{number}"
        kills = []
        while not kills:  # a run that was over before its first moment counts for none
            shutil.rmtree(workdir, ignore_errors=True)
            for _ in range(rng.randint(1, 3)):
                sent = rng.choice((signal.SIGKILL, signal.SIGTERM))
                moment = rng.uniform(0.5, seconds)
                kills.append(interrupt(workdir, cache, sent, moment))
            kills = list(filter(None, kills))
        finish(workdir, cache)
        run = Run(tuple(kills), outcome(workdir) == expected)
        found.append(run)
        print("\n".join(rows(number + 1, run)), flush=True)
    return seconds, found


def rows(number: int, run: Run) -> list[str]:
    """Lines of the table, one per kill."""
    verdict = "yes" if run.identical else "NO"
    lines = []
    for i, kill in enumerate(run.kills):
        took = f"{kill.seconds_to_exit:.1f}" if kill.signal == signal.SIGTERM else ""
        lines.append(
            f"| {number if i == 0 else ''} | {kill.seconds:.1f} | {kill.signal.name} "
            f"| {kill.phase} | {took} | {kill.status} "
            f"| {verdict if i == len(run.kills) - 1 else ''} |"
        )
    return lines


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the check; 1 if any run differs or stops too late."""
    parser = Parser("python -m tests.reliability.resume_kills", __doc__)
    add = parser.add_argument
    add("--runs", type=whole(1), default=10, metavar="N", help="runs that are killed")
    add("--seed", type=whole(0), default=0, metavar="N", help="of all draws")
    add("--out", default="", metavar="DIR", help="keeps the workdirs in this folder")
    options = parser.parse(argv)
    print(
        f"{datetime.date.today()}, {os.cpu_count()} cores, {platform.machine()}, "
        f"Python {platform.python_version()}\n\n"
        "| run | killed after (s) | signal | phase | seconds to exit | status "
        "| identical |\n|---|---|---|---|---|---|---|",
        flush=True,
    )
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(options.out or temporary).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        seconds, found = measure(folder, options.runs, options.seed)
    same = sum(run.identical for run in found)
    kills = [kill for run in found for kill in run.kills]
    slowest = max(
        (k.seconds_to_exit for k in kills if k.signal == signal.SIGTERM), default=0.0
    )
    print(
        f"\n{same} of {len(found)} runs end bit-identical after {len(kills)} kills; "
        f"SIGTERM is obeyed within {slowest:.1f} s; an uninterrupted run takes "
        f"{seconds:.0f} s."
    )
    return int(same < len(found) or slowest > SECONDS_TO_STOP)


if __name__ == "__main__":
    sys.exit(main())
