"""Estimates of the oracle's smoother, from whole recordings or window by window."""

import functools
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from damamba_jax.array_types import Bool, Float, Int
from damamba_jax.config.window import WindowConfig
from damamba_jax.data.batches.timeline import first_label, num_cores
from damamba_jax.data.corpus.releases import SIMULATED_FILE
from damamba_jax.data.oracle import smoother
from damamba_jax.data.simulated.dialogue import FRAME_HZ, LABEL_MEAN, LABEL_SCALE
from damamba_jax.data.simulated.presets import DOMAINS
from damamba_jax.data.simulated.write import ORACLE_FOLDER
from damamba_jax.errors import DataFormatError
from damamba_jax.files import DAMAGE, read_json

_GROUP_CUES = {"audio": (0, 1), "visual": (2,)}


class View(NamedTuple):
    """The part of a recording that the oracle sees; see `oracle_ccc`."""

    groups: tuple[str, ...] = ("audio", "visual")
    partners: bool = True
    causal: bool = False


class Cues(NamedTuple):
    """The cues of one recording that the oracle sees, and the annotation.

    Attributes:
      session, roles: name of the session, and roles of its people.
      cues: cues in the order of `smoother.CUES`.
      observed: False where the extractors lost the person.
      speaking: whether each person speaks.
      label: annotation of each person; NaN where nobody annotated.
    """

    session: str
    roles: tuple[str, ...]
    cues: Float[np.ndarray, "P 3 T"]
    observed: Bool[np.ndarray, "P 3 T"]
    speaking: Bool[np.ndarray, "P T"]
    label: Float[np.ndarray, "P T"]


def load_cues(root: str | os.PathLike, split: str) -> list[Cues]:
    """Reads the cues of a split, in the order of the sessions' names.

    Raises:
      ValueError: if `root` is not a simulated corpus or has no such split.
      DataFormatError: if a file of cues is damaged.
    """
    root = Path(root)
    if not (root / SIMULATED_FILE).is_file():
        raise ValueError(
            f"`root`: expected a simulated corpus with a {SIMULATED_FILE}, got "
            f"{str(root)!r}. Only simulated corpora have an oracle."
        )
    paths = sorted((root / ORACLE_FOLDER / split).glob("*.npz"))
    if not paths:
        raise ValueError(
            f"`split`: expected one of {', '.join(list_splits(root))}, got {split!r}."
        )
    return [_read_cues(path) for path in paths]


def list_splits(root: str | os.PathLike) -> list[str]:
    """Names the splits of a simulated corpus, such as `noxi/val`, in their order."""
    description = read_json(Path(root) / SIMULATED_FILE)
    return [split["name"] for split in description["splits"]]


def is_shifted(root: str | os.PathLike, split: str) -> bool:
    """Says whether a split comes from another domain than the training sessions."""
    description = read_json(Path(root) / SIMULATED_FILE)
    return any(
        entry["name"] == split and entry["domain"] != "base"
        for entry in description["splits"]
    )


def estimates(
    recordings: Sequence[Cues],
    views: Sequence[View],
    *,
    window: WindowConfig | None = None,
) -> list[list[Float[np.ndarray, "_ _"]]]:
    """Estimates everybody's annotation.

    Args:
      recordings: the cues of the recordings.
      views: the parts of a recording that the oracle sees.
      window: as in `oracle_ccc`.

    Returns:
      A list for every view, with an array `[P, T]` for every recording, in the unit of
      the labels.

    Raises:
      ValueError: if a view has an unknown group or no group.
    """
    for view in views:
        unknown = [group for group in view.groups if group not in _GROUP_CUES]
        if unknown or not view.groups:
            raise ValueError(
                f"`groups`: expected some of {', '.join(_GROUP_CUES)}, got "
                f"{list(view.groups)}."
            )
    # Recordings of the same shape are smoothed together.
    shapes: dict[tuple[int, ...], list[int]] = {}
    for index, recording in enumerate(recordings):
        shapes.setdefault(recording.label.shape, []).append(index)
    out = [[np.empty(0)] * len(recordings) for _ in views]
    for members in shapes.values():
        means = _means([recordings[i] for i in members], views, window)
        for v in range(len(views)):
            for row, i in enumerate(members):
                out[v][i] = LABEL_MEAN + LABEL_SCALE * means[v, row]
    return out


def _means(
    recordings: Sequence[Cues], views: Sequence[View], window: WindowConfig | None
) -> np.ndarray:
    """Returns posterior means `[view, recording, P, T]` of recordings of one shape."""
    cues, observed, speaking = (
        np.stack([getattr(recording, name) for recording in recordings])
        for name in ("cues", "observed", "speaking")
    )
    batch, people, _, frames = cues.shape
    cut = None if window is None else cut_windows(window, frames)
    # A run is one pass of the smoother over the cues of everybody, or of one target
    # alone. A causal view and one that sees the future share a run.
    runs: dict[tuple, list[int]] = {}
    for v, view in enumerate(views):
        for target in [None] if view.partners else range(people):
            runs.setdefault((view.groups, target), []).append(v)
    # A step costs the same for a few sequences as for fifty, so that several runs over
    # whole recordings share one call.
    per_call = max(1, 60 // batch) if cut is None else 1
    means = np.empty((len(views), batch, people, frames))
    for first in range(0, len(runs), per_call):
        part = list(runs)[first : first + per_call]
        posterior = _posterior(
            np.concatenate([cues] * len(part)),
            np.concatenate([_visible(observed, *run) for run in part]),
            np.concatenate([speaking] * len(part)),
            cut,
        )
        for k, (groups, target) in enumerate(part):
            for v in runs[groups, target]:
                which = posterior.filtered if views[v].causal else posterior.smoothed
                rows = which[k * batch : (k + 1) * batch]
                targets = slice(None) if target is None else target
                means[v][:, targets] = rows[:, targets]
    return means


def _visible(
    observed: np.ndarray, groups: tuple[str, ...], target: int | None
) -> np.ndarray:
    """Restricts `[batch, P, 3, T]` to the groups' cues, and to one person if given."""
    seen = np.zeros_like(observed)
    people = slice(None) if target is None else target
    for group in groups:
        for cue in _GROUP_CUES[group]:
            seen[:, people, cue] = observed[:, people, cue]
    return seen


class Cut(NamedTuple):
    """The windows that are cut out of a recording.

    Attributes:
      frames: native frames of each window, clipped to the recording.
      inside: False for frames outside of the window or of the recording.
      window, offset: the window whose core holds each frame, and the index of the frame
        in this window.
    """

    frames: Int[np.ndarray, "windows frames"]
    inside: Bool[np.ndarray, "windows frames"]
    window: Int[np.ndarray, "T"]
    offset: Int[np.ndarray, "T"]


def cut_windows(window: WindowConfig, frames: int) -> Cut:
    """Cuts one recording into windows.

    A window holds every native frame that the model interpolates from. Interpolation to
    the model frames `first .. last` needs the native frames from `floor(first)` to
    `ceil(last)`, except for those that the window hides.
    """
    core, hz = window.core_frames, window.frame_hz
    count = num_cores(frames, every_frames=core, frame_hz=hz, label_rate=FRAME_HZ)
    starts = np.arange(count) * core - window.past_frames
    ceil = functools.partial(first_label, frame_hz=hz, label_rate=FRAME_HZ)
    # This uses floor(x) = -ceil(-x).
    first, last = -ceil(-starts), ceil(starts + window.window_frames - 1)
    label_stop = ceil((np.arange(count) + 1) * core)
    if window.hides_future:
        last = np.minimum(last, label_stop - 1)
    size = int((np.maximum(last + 1, label_stop) - first).max())
    index = first[:, None] + np.arange(size)
    inside = (index >= 0) & (index < frames) & (index <= last[:, None])
    holder = np.searchsorted(label_stop, np.arange(frames), side="right")
    return Cut(
        frames=index.clip(0, frames - 1),
        inside=inside,
        window=holder,
        offset=np.arange(frames) - first[holder],
    )


def _posterior(
    cues: np.ndarray, used: np.ndarray, speaking: np.ndarray, cut: Cut | None
) -> smoother.Posterior:
    """Smooths with the parameters of the base domain, `[batch, P, T]`.

    With `cut`, each window is smoothed, and the cores are joined.
    """
    if cut is None:
        return smoother.smooth(cues, used, speaking, DOMAINS["base"])
    batch, people = cues.shape[:2]
    windows = len(cut.frames)

    def slices(values: np.ndarray) -> np.ndarray:
        parts = np.moveaxis(values[..., cut.frames], -2, 1)
        return parts.reshape(batch * windows, *parts.shape[2:])

    visible = slices(used) & np.tile(cut.inside, (batch, 1))[:, None, None]
    posterior = smoother.smooth(
        slices(cues), visible, slices(speaking), DOMAINS["base"]
    )
    stitched = []
    for means in posterior:
        means = means.reshape(batch, windows, people, -1)
        stitched.append(np.moveaxis(means[:, cut.window, :, cut.offset], 0, -1))
    return smoother.Posterior(*stitched)


def _read_cues(path: Path) -> Cues:
    # `np.load` leaves a damaged file open, so it is opened here.
    with open(path, "rb") as file:
        try:
            with np.load(file, allow_pickle=False) as stored:
                return _parse_cues(path.stem, stored)
        except DAMAGE as error:
            raise DataFormatError(
                f"{path}: expected the cues of a simulated recording, got {error!r}. "
                "Delete the corpus, and let it be drawn again."
            ) from error


def _parse_cues(session: str, stored: Mapping[str, np.ndarray]) -> Cues:
    audio, visual = stored["audio_valid"], stored["visual_valid"]
    return Cues(
        session=session,
        roles=tuple(stored["roles"].tolist()),
        cues=stored["cues"].astype(np.float64),
        observed=np.stack([audio, audio, visual], axis=1),
        speaking=stored["speaking"],
        label=stored["label"].astype(np.float64),
    )
