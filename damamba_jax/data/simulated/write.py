"""Writes the simulated corpus in the layout and the formats of the released corpora.

The same code reads both. `dialogue.py` and `lift.py` draw the conversations.

    OUT/simulated.json                                    marks and describes the corpus
    OUT/noxi/{split}/{session}/{role}.{stem}.stream(~)    features
    OUT/noxi/{split}/{session}/{role}.engagement.annotation.csv
    OUT/noxi/{split}/{session}/language.annotation.csv
    OUT/mpiigroupinteraction/{split}/...                  with labels in their own tree
    OUT/oracle/{corpus}/{split}/{session}.npz             the cues that the oracle sees

The simulated test sets have labels, unlike the released ones.
"""

import dataclasses
import hashlib
import json
import logging
import os
import shutil
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from damamba_jax.data.corpus.releases import LANGUAGE_FILE, SIMULATED_FILE, released
from damamba_jax.data.formats import ssi
from damamba_jax.data.simulated import dialogue, lift
from damamba_jax.data.simulated.dialogue import FRAME_HZ, Recording
from damamba_jax.data.simulated.presets import (
    DOMAINS,
    LANGUAGES,
    PRESETS,
    Preset,
    SplitPreset,
    get_preset,
)
from damamba_jax.errors import ConfigError
from damamba_jax.files import read_json, read_kept, replace_file, write_text
from damamba_jax.schema.release import DEMO_DIMS, REAL_DIMS

__all__ = [
    "DEMO_DIMS",
    "ORACLE_FOLDER",
    "PRESETS",
    "REAL_DIMS",
    "Preset",
    "Progress",
    "SplitPreset",
    "ensure_corpus",
    "write_corpus",
]

_log = logging.getLogger(__name__)

# Raise this number whenever the same preset and seed would give other numbers.
VERSION = 3
# The names of folders of simulated corpora in a cache begin with this.
CORPUS_PREFIX = "simulated-"
# The folder in a corpus that holds the cues which its oracle sees.
ORACLE_FOLDER = "oracle"


class Progress(NamedTuple):
    """The progress of `write_corpus` after each recording.

    Attributes:
      done, total: number of recordings that are written, and of all recordings.
      seconds: time since the start, s.
    """

    done: int
    total: int
    seconds: float


def write_corpus(
    out: str | os.PathLike,
    preset: Preset | str,
    *,
    seed: int = 0,
    progress: Callable[[Progress], None] | None = None,
) -> None:
    """Draws a corpus and writes it; the same preset and seed give the same bytes.

    Args:
      out: the folder of the corpus, which is created; it must be empty if it exists.
      preset: a name in `PRESETS`, or a preset of your own.
      seed: the seed of all draws, except for the maps of the features, which depend on
        the names and widths of the features.
      progress: called after every recording.

    Raises:
      ConfigError: for an unknown preset, or if `out` is not empty.
    """
    out, spec = Path(out), get_preset(preset)
    if out.exists() and any(out.iterdir()):
        raise ConfigError(
            f"`out`: expected a new or empty folder, got {str(out)!r}, which is not "
            "empty. Delete it, or choose another folder."
        )
    out.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    total = sum(split.sessions for split in spec.splits)
    done = 0
    for split, index, session in _sessions(spec):
        _write_session(out, spec, split, index, session, seed)
        done += 1
        if progress is not None:
            progress(Progress(done, total, time.monotonic() - started))
    # This file is written last: a folder without it is not complete.
    text = json.dumps(_description(preset, seed), indent=2, sort_keys=True)
    write_text(out / SIMULATED_FILE, text + "\n")


def ensure_corpus(
    preset: Preset | str,
    cache_dir: str | os.PathLike,
    *,
    seed: int = 0,
    progress: Callable[[Progress], None] | None = None,
) -> Path:
    """Returns the folder of a corpus below `cache_dir`, and writes it if needed.

    The folder's name contains a fingerprint of everything that the numbers depend on.
    The finished folder is moved into its place in one step, so that a writer that is
    interrupted, or a second one at the same time, does no harm.

    Args:
      preset: as in `write_corpus`.
      cache_dir: the folder that holds simulated corpora.
      seed: as in `write_corpus`.
      progress: as in `write_corpus`.

    Raises:
      ConfigError: for an unknown preset.
    """
    text = json.dumps(_description(preset, seed), sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()[:12]
    name = preset if isinstance(preset, str) else "custom"
    target = Path(cache_dir) / f"{CORPUS_PREFIX}{name}-{digest}"
    if _is_whole(target):
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        work.chmod(0o755)
        write_corpus(work, preset, seed=seed, progress=progress)
        if target.exists() and not _is_whole(target):
            # The folder is damaged and in the way. It is also moved away in one step.
            target.rename(work.with_name(f"{work.name}-damaged"))
        try:
            work.rename(target)
        except OSError:
            # Another process was quicker. Its folder holds the same bytes.
            if not _is_whole(target):
                raise
    finally:
        shutil.rmtree(work, ignore_errors=True)
        shutil.rmtree(work.with_name(f"{work.name}-damaged"), ignore_errors=True)
    return target


def _is_whole(corpus: Path) -> bool:
    """Says whether the file that is written last exists and can be read."""
    marker = read_kept(corpus / SIMULATED_FILE, read_json, _log)
    return isinstance(marker, dict) and bool(marker)


def _description(preset: Preset | str, seed: int) -> dict:
    spec = get_preset(preset)
    return {
        "simulated": True,
        "preset": preset if isinstance(preset, str) else "custom",
        "seed": seed,
        "version": VERSION,
        "frame_hz": FRAME_HZ,
        "dims": dict(spec.dims),
        "splits": [dataclasses.asdict(split) for split in spec.splits],
        "domains": {
            name: dataclasses.asdict(domain) for name, domain in DOMAINS.items()
        },
    }


def _sessions(spec: Preset) -> Iterator[tuple[SplitPreset, int, str]]:
    """Yields split, index in the split, and id; ids count from 001 in each corpus."""
    used: dict[str, int] = {}
    for split in spec.splits:
        corpus = split.name.split("/")[0]
        for index in range(split.sessions):
            used[corpus] = used.get(corpus, 0) + 1
            yield split, index, f"{used[corpus]:03d}"


def _write_session(
    out: Path, spec: Preset, split: SplitPreset, index: int, session: str, seed: int
) -> None:
    roles = split.roles(index)
    rng = np.random.default_rng([seed, zlib.crc32(f"{split.name}/{session}".encode())])
    recording = dialogue.draw_recording(
        DOMAINS[split.domain],
        people=len(roles),
        frames=round(split.seconds * FRAME_HZ),
        rng=rng,
    )
    corpus, _, folder = split.name.partition("/")
    layout = released("mpiigroupinteraction" if split.groups else "noxi").layouts[0]

    def place(pattern: str, **fields: str) -> Path:
        path = pattern.format(split=folder, session=session, **fields)
        (out / corpus / path).parent.mkdir(parents=True, exist_ok=True)
        return out / corpus / path

    label = np.clip(
        dialogue.LABEL_MEAN + dialogue.LABEL_SCALE * recording.engagement, 0.0, 1.0
    )
    label[~recording.label_valid] = np.nan
    for person, role in enumerate(roles):
        ssi.write_labels(place(layout.label_path, role=role), label[person])
        for group in ("audio", "visual"):
            cues = lift.group_cues(recording, person, group, rng)
            valid = getattr(recording, f"{group}_valid")[person]
            for name, dim in spec.dims.items():
                if lift.GROUPS[name] == group:
                    ssi.write_stream(
                        place(layout.feature_path, role=role, stem=lift.STEMS[name]),
                        lift.lift(name, dim, cues, valid, rng),
                        FRAME_HZ,
                    )
    names = LANGUAGES[split.domain]
    write_text(
        place(layout.feature_path, role="", stem="").with_name(LANGUAGE_FILE),
        f"0.00;{split.seconds:.2f};{names[index % len(names)]};1.00\n",
    )
    path = out / ORACLE_FOLDER / split.name / f"{session}.npz"
    _write_oracle(path, recording, roles, label)


def _write_oracle(
    path: Path, recording: Recording, roles: tuple[str, ...], label: np.ndarray
) -> None:
    """Stores what the oracle's smoother needs: the cues that features are made of."""
    cues = np.stack([recording.audio, recording.mouth, recording.visual], axis=1)
    with replace_file(path) as file:
        np.savez(
            file,
            roles=np.array(roles),
            cues=cues.astype(np.float32),
            audio_valid=recording.audio_valid,
            visual_valid=recording.visual_valid,
            speaking=recording.speaking,
            label=label.astype(np.float32),
        )
