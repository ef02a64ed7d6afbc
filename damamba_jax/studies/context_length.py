"""Worth of longer windows: CCC and oracle CCC for each length of the window.

Every length trains the same configuration on the simulated corpus at equal cost: a
batch holds fewer windows if they are longer, so that a step always has the same number
of frames. The number of steps is the same too. The core keeps its share of the window
(a third, as published). `whole session` is the model of the longest window, which reads
each session in one pass; a model that must not see the future has no such row. The
oracle sees the same window, or the whole session.

`published` is DA-Mamba as in the study `systems`: 500 steps of 6,144 frames in
bfloat16. `paper` has the paper's features and recipe with 20,000 steps, and draws a
corpus of 9 GB first; each length takes hours. `small` is the demo.
"""

from collections.abc import Sequence

from damamba_jax.config.rules import may_see_sessions
from damamba_jax.config.sections import Config
from damamba_jax.config.tree import from_config_dict, override
from damamba_jax.configs import noxi
from damamba_jax.errors import ConfigError
from damamba_jax.reporting.numbers import ABSENT, number
from damamba_jax.reporting.table import Table
from damamba_jax.studies import report, systems
from damamba_jax.studies.engine import Findings, Row, RowScores, Study

LENGTHS = (96, 192, 384, 768, 1536, 3072)
SPLIT = "noxi/test-base"


def describe(
    preset: str | Config,
    lengths: Sequence[str] = (),
    seeds: Sequence[int] = (),
    *,
    split: str = SPLIT,
) -> Study:
    """Describes the study of a preset, or of a configuration.

    Args:
      preset: preset of the study, or a configuration; all lengths keep the shares of
        past, core and future of its window.
      lengths: lengths of the windows in frames; empty means `LENGTHS`.
      seeds: seeds of every length; empty means the configuration's own seed.
      split: split that is scored.

    Raises:
      ConfigError: for a length that costs more or less than the others.
    """
    base = configure(preset) if isinstance(preset, str) else preset
    base = override(base, {"data.eval_splits": (split,)})
    configs = [resize(base, text) for text in lengths or map(str, LENGTHS)]
    configs.sort(key=lambda config: config.data.window.window_frames)
    rows = [
        Row(key=c.name, title=f"{c.data.window.window_frames:,}", config=c)
        for c in configs
    ]
    longest = rows[-1]
    if may_see_sessions(base.model, base.data.window):
        rows.append(
            Row(
                key="whole-session", title="whole session", config=longest.config,
                source=longest.key, protocol="long",
            )
        )  # fmt: skip
    return Study(
        name="context_length",
        base=base,
        rows=tuple(rows),
        seeds=tuple(seeds or [base.seed]),
        folders="{key}-{seed}" if len(seeds) > 1 else "{key}",
        tables=tables,
        splits=(split,),
    )


def configure(preset: str) -> Config:
    """Returns the configuration of a preset."""
    if preset == "published":
        ours = systems.describe(preset).rows[0].config
        return override(ours, {"name": "context-published"})
    # These corpora have enough people, and recordings of several minutes.
    name, corpus = {"paper": ("25hz", "ablation-noxi"), "small": ("demo", "demo")}[
        preset
    ]
    config = noxi.get_config(name)
    config.data.simulated = corpus
    if preset == "small":
        # With this size, a batch of the longest windows still holds two of them.
        config.train.batch_size = 64
    return from_config_dict(config)


def resize(base: Config, length: str) -> Config:
    """Changes the length of a configuration's windows, and keeps the frames per step.

    Args:
      base: the configuration.
      length: length of the windows, frames.

    Raises:
      ConfigError: if a step does not hold a whole number of such windows, or if past,
        core or future would not be whole numbers of frames.
    """
    window = base.data.window
    per_step = base.train.batch_size * window.window_frames
    frames = int(length) if length.isdecimal() else 0
    parts = ("past_frames", "core_frames", "future_frames")
    if (
        not frames
        or per_step % frames
        or any(frames * getattr(window, p) % window.window_frames for p in parts)
    ):
        raise ConfigError(
            f"`--rows`: expected divisors of the {per_step} frames of a step, in "
            f"multiples of {window.window_frames}, got {length!r}."
        )
    resized = {
        f"data.window.{name}": round(
            getattr(window, name) * frames / window.window_frames
        )
        for name in (*parts, "stride_frames")
    }
    return override(
        base,
        {
            "name": f"{base.name}-context{frames}",
            **resized,
            "train.batch_size": per_step // frames,
        },
    )


def tables(found: Findings) -> list[Table]:
    """Makes the table, which has one row for each length."""
    base, (split,) = found.study.base, found.splits
    per_step = base.train.batch_size * base.data.window.window_frames
    table = report.wide_table(
        found,
        f"Context length, {base.name}, {split}",
        before={
            "window, frames": lambda row: row.row.title,
            "seconds": _seconds,
            "batch": lambda row: str(row.row.config.train.batch_size),
        },
        by_split={
            "CCC": report.ccc,
            "95 % interval": lambda row, split: report.interval(row, split) or ABSENT,
            "oracle CCC": lambda row, split: number(row.oracle[split].ccc),
            "share": report.share,
        },
        after={},
        notes=[
            f"All lengths have the same training cost: {base.train.steps:,} steps of "
            f"{per_step:,} frames per person. `whole session`, if it is there, is the "
            f"model of the longest window, which reads each session in one pass."
        ],
    )
    return [table]


def _seconds(row: RowScores) -> str:
    seconds = row.row.config.data.window.window_seconds
    return ABSENT if row.row.protocol else f"{seconds:.2f}"
