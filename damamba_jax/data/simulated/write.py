"""The simulated corpus: drawn conversations in the releases' own layout and formats.

One loader reads both. The draws are those of `dialogue.py` and `lift.py`.

    OUT/simulated.json                                    marks the corpus: what it is
    OUT/noxi/{split}/{session}/{role}.{stem}.stream(~)    features
    OUT/noxi/{split}/{session}/{role}.engagement.annotation.csv
    OUT/noxi/{split}/{session}/language.annotation.csv
    OUT/mpiigroupinteraction/{split}/...                  its labels in a parallel tree
    OUT/oracle/{corpus}/{split}/{session}.npz             what the oracle sees

Unlike the released test sets, simulated ones are labelled.
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

# Raised whenever the same preset and seed would give other numbers.
VERSION = 3
# Names of the folders in a cache begin so.
CORPUS_PREFIX = "simulated-"
# The folder below a corpus that holds what its oracle sees.
ORACLE_FOLDER = "oracle"


class Progress(NamedTuple):
    """Recordings written so far, of how many, and the seconds it took."""

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
      out: folder; created, must be empty if it exists.
      preset: a name in `PRESETS`, or one's own.
      seed: the seed of all draws but the lifts of the features, which depend on their
        names.
      progress: called after every recording.

    Raises:
      ConfigError: for an unknown preset, or an `out` that holds something already.
    """
    out, spec = Path(out), get_preset(preset)
    if out.exists() and any(out.iterdir()):
        raise ConfigError(
            f"`out`: expected a new or empty folder, got {str(out)!r}, which is not "
            "empty. Delete it or choose another."
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
    # Last, so that a folder without it is known to be unfinished.
    text = json.dumps(_description(preset, seed), indent=2, sort_keys=True)
    write_text(out / SIMULATED_FILE, text + "\n")


def ensure_corpus(
    preset: Preset | str,
    cache_dir: str | os.PathLike,
    *,
    seed: int = 0,
    progress: Callable[[Progress], None] | None = None,
) -> Path:
    """Returns the folder of a corpus under `cache_dir`; writes it when it is not there.

    The folder's name holds a fingerprint of everything that the numbers depend on. It
    appears in one move: an interrupted or a second, simultaneous writer does no harm.
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
            # Part of it is gone. In the way of `work` it goes in one move as well.
            target.rename(work.with_name(f"{work.name}-damaged"))
        try:
            work.rename(target)
        except OSError:
            # Somebody else was quicker; their folder holds the same bytes.
            if not _is_whole(target):
                raise
    finally:
        shutil.rmtree(work, ignore_errors=True)
        shutil.rmtree(work.with_name(f"{work.name}-damaged"), ignore_errors=True)
    return target


def _is_whole(corpus: Path) -> bool:
    """Whether the file is there, and can be read, that is written last."""
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
    """Yields (split, index within it, id); ids count through each corpus from 001."""
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
    """Stores what a smoother needs that knows the generator, cues before the lift."""
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
