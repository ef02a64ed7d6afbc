"""Windows per second of the loader, and its memory over a large corpus.

    python -m benchmarks.loader [--out=runs/benchmarks/loader.png]

The command writes two corpora of sparse files into a temporary folder. They have the
layout of NoXi and its real widths (88, 1024, 512, 714 and 139 columns at 25 Hz). The
first corpus has 2 GB. It is read into the page cache and then loaded in the batches of
the paper (128 windows of 0.96 s, two people), with one and with two threads. The second
corpus has 20 GB. It is loaded once from end to end, while the process's anonymous
memory is watched (RssAnon, which does not count mapped files). No number is printed
unless batches of a small corpus of random numbers agree with interpolation of the whole
streams.
"""

import argparse
import dataclasses
import datetime
import functools
import os
import pathlib
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from rich.console import Console

from damamba_jax.config.sections import DataConfig
from damamba_jax.config.tree import from_config_dict
from damamba_jax.configs import noxi
from damamba_jax.data.batches import windows
from damamba_jax.data.corpus import index as corpus_index
from damamba_jax.data.corpus import sessions
from damamba_jax.data.corpus.releases import released
from damamba_jax.reporting.figure import make_figure, save, styled
from damamba_jax.runtime.command import run
from damamba_jax.runtime.parser import Parser, number, whole
from damamba_jax.runtime.stop import StopRequest
from damamba_jax.schema.release import RELEASED_FEATURES

FEATURES = tuple(
    RELEASED_FEATURES[name]
    for name in ("egemaps", "w2vbert2", "clip", "openface2", "openpose")
)
BYTES_PER_SECOND = sum(4 * feature.dim * feature.rate for feature in FEATURES)
PICTURE = "runs/benchmarks/loader.png"
BATCH_SIZE = 128
LABEL_RATE = 25
HEADER = """<?xml version="1.0" ?>
<stream ssi-v="2">
    <info ftype="BINARY" sr="{rate:.6f}" dim="{dim}" byte="4" type="FLOAT" delim=" " />
    <chunk from="0.000000" to="{seconds:.6f}" byte="0" num="{frames}"/>
</stream>
"""


class Speed(NamedTuple):
    """Windows per second of one setting: the median and the best of several passes."""

    num_threads: int
    median: float
    best: float
    load: float


class Memory(NamedTuple):
    """RssAnon, in MB, at several shares of one pass."""

    gigabytes: float
    windows: int
    seconds: float
    share: list[float]
    rss_anon_mb: list[float]


def write_corpus(
    root: pathlib.Path, *, gigabytes: float, session_seconds: int, seed: int | None
) -> Sequence[sessions.Session]:
    """Writes sessions of `session_seconds` and indexes them.

    Args:
      root: a folder that does not exist yet.
      gigabytes: the size of all streams together.
      session_seconds: the length of a session.
      seed: the seed of random values; `None` makes sparse files, which read as zeros.
    """
    layout = released("noxi").layouts[0]
    per_session = len(layout.roles) * BYTES_PER_SECOND * session_seconds
    rng = None if seed is None else np.random.default_rng(seed)
    for session in range(max(round(gigabytes * 1e9 / per_session), 1)):
        for role in layout.roles:
            known = {"split": "train", "session": f"{session:03d}", "role": role}
            labels = root / layout.name / layout.label_path.format(**known)
            labels.parent.mkdir(parents=True, exist_ok=True)
            labels.write_text("0.5\n" * (session_seconds * LABEL_RATE))
            for feature in FEATURES:
                frames = round(session_seconds * feature.rate)
                name = layout.feature_path.format(**known, stem=feature.stems[0])
                path = root / layout.name / name
                path.write_text(
                    HEADER.format(
                        rate=feature.rate, dim=feature.dim, seconds=session_seconds,
                        frames=frames,
                    )
                )  # fmt: skip
                with open(f"{path}~", "wb") as file:
                    if rng is None:
                        file.truncate(4 * feature.dim * frames)
                    else:
                        rng.random((frames, feature.dim), np.float32).tofile(file)
    return corpus_index.index(root, features=FEATURES).split("noxi/train")


def data_config(folder: pathlib.Path) -> DataConfig:
    """Returns the paper's windows, with the features that are written here."""
    paper = from_config_dict(noxi.get_config()).data
    return dataclasses.replace(
        paper, features=FEATURES, cache_dir=str(folder / "cache")
    )


def check_parity(folder: pathlib.Path) -> int:
    """Compares batches with interpolation of the whole streams at each model frame.

    Returns:
      The number of windows that were compared.

    Raises:
      AssertionError: if a window differs.
    """
    sessions = write_corpus(folder, gigabytes=0, session_seconds=3, seed=0)
    data = data_config(folder)
    source = windows.EvaluationSource(sessions, data, batch_size=7)
    frame_hz, past = data.window.frame_hz, data.window.past_frames
    for batch, rows in (source[i] for i in range(len(source))):
        for row in np.flatnonzero(rows.row_valid):
            session = sessions[rows.session[row]]
            target = session.participants[rows.participant[row]]
            people = [target, *(p for p in session.participants if p is not target)]
            core_label = rows.label_index[row][rows.label_index[row] >= 0][0]
            core = int(core_label / LABEL_RATE * frame_hz) // data.window.core_frames
            start = (core * data.window.core_frames - past) / frame_hz
            inside = np.arange(data.window.window_frames) / frame_hz
            for seat, person in enumerate(people):
                for name, track in person.tracks.items():
                    whole = np.asarray(track.open(data.cache_dir).data)
                    native = batch["features"][name][row, seat]
                    lag = batch["first_time"][name][row, seat]
                    rate = batch["rate"][name][row, seat]
                    np.testing.assert_allclose(
                        _interpolate(native, (inside - lag) * rate),
                        _interpolate(whole, (start + inside) * track.rate),
                        atol=1e-3,
                        err_msg=f"{session.id}/{person.role}.{name}, core {core}",
                    )
    return source.num_windows


def _interpolate(rows: np.ndarray, position: np.ndarray) -> np.ndarray:
    position = np.clip(position, 0, len(rows) - 1)[:, None]
    below = np.floor(position).astype(int)
    above = np.minimum(below + 1, len(rows) - 1)
    weight = position - below
    return rows[below[:, 0]] * (1 - weight) + rows[above[:, 0]] * weight


def measure_speed(
    sessions: Sequence[sessions.Session],
    folder: pathlib.Path,
    *,
    num_threads: int,
    passes: int,
    batches: int,
) -> Speed:
    """Times `passes` runs of `batches` batches of the training source."""
    for path in folder.rglob("*.stream~"):
        with open(path, "rb", buffering=0) as file:
            while file.read(1 << 24):
                pass
    source = windows.TrainingSource(
        sessions, data_config(folder), max_participants=4, batch_size=BATCH_SIZE,
        seed=0, num_steps=10**9,
    )  # fmt: skip
    iterator = windows.read_batches(source, num_threads=num_threads)
    for _ in range(2 * num_threads):
        next(iterator)
    speeds = []
    for _ in range(passes):
        begin = time.perf_counter()
        for _ in range(batches):
            next(iterator)
        speeds.append(batches * BATCH_SIZE / (time.perf_counter() - begin))
    iterator.close()
    return Speed(
        num_threads, statistics.median(speeds), max(speeds), os.getloadavg()[0]
    )


def measure_memory(
    sessions: Sequence[sessions.Session], folder: pathlib.Path, *, gigabytes: float
) -> Memory:
    """Loads one epoch, and meanwhile reads RssAnon about fifty times."""
    sizing = windows.TrainingSource(
        sessions, data_config(folder), max_participants=4, batch_size=BATCH_SIZE,
        seed=0, num_steps=1,
    )  # fmt: skip
    steps = -(-sizing.num_windows // BATCH_SIZE)
    source = windows.TrainingSource(
        sessions, data_config(folder), max_participants=4, batch_size=BATCH_SIZE,
        seed=0, num_steps=steps,
    )  # fmt: skip
    every = max(steps // 50, 1)
    share, rss = [], []
    begin = time.perf_counter()
    for step, _ in enumerate(windows.read_batches(source, num_threads=2), start=1):
        if step % every == 0:
            share.append(step / steps)
            rss.append(rss_anon_mb())
    seconds = time.perf_counter() - begin
    return Memory(gigabytes, source.num_windows, seconds, share, rss)


def rss_anon_mb() -> float:
    """Returns the anonymous memory of this process, in MB.

    Raises:
      RuntimeError: if this system does not tell it.
    """
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("/proc/self/status has no RssAnon: this benchmark needs Linux.")


def table(speeds: Sequence[Speed], memory: Memory, *, cached_gb: float) -> str:
    """Writes the results as Markdown."""
    lines = [
        "| loader | windows/s, median | windows/s, best | load average |",
        "|---|---|---|---|",
    ]
    for speed in speeds:
        lines.append(
            f"| threads: {speed.num_threads}; {cached_gb:g} GB in page cache | "
            f"{speed.median:,.0f} | {speed.best:,.0f} | {speed.load:.1f} |"
        )
    rss = np.array(memory.rss_anon_mb)
    mean, away = rss.mean(), np.abs(rss - rss.mean()).max()
    first, second = np.array_split(rss, 2)
    lines.append(
        f"\nRssAnon over one epoch of {memory.gigabytes:g} GB ({memory.windows:,} "
        f"windows, {memory.seconds:.0f} s, 2 threads): {mean:.0f} MB on average and at "
        f"most {away:.0f} MB away from it; the second half minus the first half: "
        f"{second.mean() - first.mean():+.0f} MB."
    )
    return "\n".join(lines)


@styled
def picture(speeds: Sequence[Speed], memory: Memory, out: pathlib.Path) -> None:
    """Draws the speeds, and the memory during the pass."""
    figure = make_figure(9.0, 3.5)
    left, right = figure.subplots(1, 2)
    names = [f"threads: {speed.num_threads}" for speed in speeds]
    left.bar(names, [speed.median for speed in speeds], color="tab:blue")
    left.axhline(3000, color="tab:red", linestyle="--", label="needed: 3,000")
    left.set(
        title="batches of 128 windows, page cache",
        ylabel="windows/s (median)",
        ylim=(0, 1.3 * max(3000, *(speed.median for speed in speeds))),
    )
    left.legend()
    right.plot(np.array(memory.share) * 100, memory.rss_anon_mb)
    right.set(
        title=f"one epoch of {memory.gigabytes:g} GB",
        xlabel="% of the epoch",
        ylabel="RssAnon [MB]",
        ylim=(0, 1.5 * max(memory.rss_anon_mb)),
    )
    save(figure, out)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code."""
    return run(functools.partial(_run, make_parser().parse(argv)))


def make_parser() -> Parser:
    """Makes the parser of this command."""
    parser = Parser("python -m benchmarks.loader", __doc__)
    add = parser.add_argument
    add(
        "--out", type=pathlib.Path, default=pathlib.Path(PICTURE), metavar="FILE",
        help="file of the picture",
    )  # fmt: skip
    for name, kind, default, text in (
        ("cached_gb", number(0.0), 2.0, "size of the first corpus, in GB"),
        ("corpus_gb", number(0.0), 20.0, "size of the second corpus, in GB"),
        ("session_seconds", whole(1), 1200, "length of a session, in seconds"),
        ("passes", whole(1), 7, "number of timed passes"),
        ("batches", whole(1), 40, "number of batches in each pass"),
    ):
        add(f"--{name}", type=kind, default=default, metavar="N", help=text)
    return parser


def _run(flags: argparse.Namespace, stop: StopRequest, console: Console) -> int:
    # Nothing has to be saved at a signal, and the table is printed as Markdown.
    del stop, console
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        compared = check_parity(folder / "parity")
        print(f"parity: {compared} windows agree with the whole streams")
        write = functools.partial(
            write_corpus, session_seconds=flags.session_seconds, seed=None
        )
        cached = write(folder / "cached", gigabytes=flags.cached_gb)
        speeds = [
            measure_speed(
                cached, folder / "cached", num_threads=threads, passes=flags.passes,
                batches=flags.batches,
            )
            for threads in (1, 2)
        ]  # fmt: skip
        large = write(folder / "large", gigabytes=flags.corpus_gb)
        memory = measure_memory(large, folder / "large", gigabytes=flags.corpus_gb)
    print(
        f"{datetime.date.today()}, {os.cpu_count()} cores ({platform.machine()}), "
        f"Python {platform.python_version()}, NumPy {np.__version__}; sparse files"
    )
    print(table(speeds, memory, cached_gb=flags.cached_gb))
    picture(speeds, memory, flags.out)
    print(f"picture: {flags.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
