"""Opens recordings that are only predicted, without labels, splits or a release.

Their files lie in the same folders as those of the corpus that the model was trained
on. But the given folder may be a whole corpus, a folder of sessions, or one session.
"""

import dataclasses
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from damamba_jax.config.layout import LayoutConfig
from damamba_jax.config.sections import DataConfig, FeatureConfig
from damamba_jax.data.corpus import index as corpus_index
from damamba_jax.data.corpus.label_source import Scale
from damamba_jax.data.corpus.patterns import compile_part
from damamba_jax.data.corpus.releases import RELEASES
from damamba_jax.data.corpus.sessions import CorpusIndex
from damamba_jax.errors import CorpusError

# The name of the split that the recordings form.
SPLIT = "recordings"
_SESSION = "{session}"


class _Reading(NamedTuple):
    """One way to read a folder; an empty `session` means all sessions."""

    root: Path
    layout: LayoutConfig | None
    features: tuple[FeatureConfig, ...]
    session: str = ""


def open_recordings(path: str | os.PathLike, data: DataConfig) -> CorpusIndex:
    """Indexes recordings, and does not look for their annotations.

    Args:
      path: folder of a corpus, of sessions, or of one session.
      data: the `data` section of the model's configuration, which says where the files
        lie, which features are read, and what scores mean.

    Raises:
      CorpusError: if the folder holds no such recordings.
      DataFormatError: for a malformed file.
    """
    folder = Path(path).expanduser()
    if not folder.is_dir():
        what = "a file" if folder.is_file() else "nothing there"
        raise CorpusError(
            f"`--input`: expected a folder with recordings, got {folder}: {what}."
        )
    failed = None
    for reading in _readings(folder.resolve(), data):
        try:
            return corpus_index.index(
                reading.root,
                features=reading.features,
                layout=reading.layout,
                scale=Scale.of(data),
                cache_dir=data.cache_dir,
                sessions=(reading.session,) if reading.session else (),
                with_labels=False,
                exclude=data.exclude,
                skip_damaged=data.on_error == "skip",
            )
        except CorpusError as error:
            failed = failed or error
    wanted = sorted({_pattern(f, o) for o in _layouts(data) for f in data.features})
    raise CorpusError(
        f"`--input`: expected recordings as the model was trained on, "
        f"{' or '.join(wanted)}, got {folder}, which has none. If the files lie in "
        "another layout, give its configuration with --config."
    ) from failed


def _readings(folder: Path, data: DataConfig) -> Iterator[_Reading]:
    """Yields all ways to read a folder; the one of training comes first."""
    yield _Reading(folder, data.layout, data.features)
    for layout in _layouts(data):
        below = dataclasses.replace(
            layout,
            splits=(SPLIT,),
            feature_path=_below(layout.feature_path),
            label_path=_below(layout.label_path),
            turns=layout.turns
            and dataclasses.replace(layout.turns, files=_below(layout.turns.files)),
        )
        features = tuple(_feature_below(feature) for feature in data.features)
        yield _Reading(folder, below, features)
        for feature in features:
            part, _, rest = _pattern(feature, below).partition("/")
            match = compile_part(part, {}, {}).fullmatch(folder.name)
            if rest and _SESSION in part and match is not None:
                session = match.groupdict()["session"]
                yield _Reading(folder.parent, below, features, session)
                break


def _layouts(data: DataConfig) -> Sequence[LayoutConfig]:
    if data.layout is not None:
        return (data.layout,)
    return [layout for release in RELEASES for layout in release.layouts]


def _pattern(feature: FeatureConfig, layout: LayoutConfig) -> str:
    return (feature.table and feature.table.files) or layout.feature_path


def _feature_below(feature: FeatureConfig) -> FeatureConfig:
    if feature.table is None:
        return feature
    table = dataclasses.replace(feature.table, files=_below(feature.table.files))
    return dataclasses.replace(feature, table=table)


def _below(pattern: str) -> str:
    """Removes the folders above the session, and the folder of the split."""
    parts = pattern.split("/")
    named = [i for i, part in enumerate(parts) if _SESSION in part]
    if named:
        parts = parts[named[0] :]
    return "/".join(part for part in parts if part != "{split}")
