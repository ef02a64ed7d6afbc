"""Builds the tracks and the annotations of each person from the tables of a split."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from damamba_jax.config.sections import FeatureConfig
from damamba_jax.data.corpus.found import SplitFiles
from damamba_jax.data.corpus.label_source import LabelSource, Scale
from damamba_jax.data.corpus.table_rows import Span, read_turns
from damamba_jax.data.corpus.tracks import Track
from damamba_jax.errors import DataFormatError, format_error


class TableBuilder:
    """Builds tracks and annotations from tables, one person after the other.

    Args:
      files: the files of the split.
      features: the features that people shall have; those without `table` are left out.
      scale: range or classes, and delay, of the annotations.
      cache_dir: the folder that keeps the contents of tables.
      columns: for each feature its first table in any split, and the columns of this
        table, which all other tables must have too.
      strict: whether a malformed file raises an error; otherwise it is a problem.
      report: takes the kind of a problem, its session and role, and a text about it.
    """

    def __init__(
        self,
        files: SplitFiles,
        *,
        features: Sequence[FeatureConfig],
        scale: Scale,
        cache_dir: str | os.PathLike,
        columns: dict[str, tuple[Path, tuple[str, ...]]],
        strict: bool,
        report: Callable[[str, str, str, str], None],
    ):
        self._files = files
        self._features = [f for f in features if f.table is not None]
        self.scale = scale
        self._cache_dir = cache_dir
        self._strict = strict
        self._problem = report
        self._columns = columns

    def turns(self, session: str, role: str) -> dict[str, Span]:
        """Reads the turns of one person by name; none without tables of turns."""
        config = self._files.layout.turns
        if config is None:
            return {}
        paths = [match.path for match in self._files.turns.of(session, role)]
        try:
            return read_turns(paths, config, self._files.fields(session, role))
        except (DataFormatError, OSError) as error:
            if self._strict:
                raise
            self._problem("bad turns", session, role, f"{error}".removesuffix("."))
            return {}

    def labels(
        self, session: str, role: str, turns: Mapping[str, Span], seconds: float
    ) -> LabelSource | None:
        """Finds the annotation of one person; `None` if there is no file of it."""
        pieces = self._files.labels.of(session, role)
        if not pieces or role in self._files.layout.partner_roles:
            return None
        return LabelSource(
            pieces=pieces,
            config=self._files.layout.label_reading,
            fields=self._files.fields(session, role),
            turns=turns,
            rate=self._files.layout.label_rate,
            limit_seconds=seconds,
            scale=self.scale,
        )

    def count_labels(self, session: str, role: str, source: LabelSource | None) -> int:
        """Counts the frames of an annotation that does not have one value per line."""
        if source is None or source.config is None:
            return 0
        try:
            count = len(source.read())
        except (DataFormatError, OSError) as error:
            if self._strict:
                raise
            self._problem("labels", session, role, f"{error}".removesuffix("."))
            return 0
        if not count:
            text = f"{source.pieces[0].path} rates nothing of this person"
            self._problem("empty labels", session, role, text)
        return count

    def tracks(
        self, session: str, role: str, turns: Mapping[str, Span]
    ) -> dict[str, Track]:
        """Finds the features that lie in tables."""
        if not self._features:
            return {}
        # This is imported here because most corpora hold no tables.
        from damamba_jax.data.corpus.table_source import TableSource

        tracks = {}
        for feature in self._features:
            pieces = self._files.tables[feature.name].of(session, role)
            if not pieces:
                self._problem(
                    f"no {feature.name}", session, role, f"no file for {feature.name}"
                )
                continue
            source = TableSource(
                feature=feature,
                pieces=pieces,
                fields=self._files.fields(session, role),
                turns=turns,
            )
            try:
                found = source.summarize(self._cache_dir or None)
                self._check_columns(feature.name, pieces[0].path, found.columns)
            except (DataFormatError, OSError) as error:
                if self._strict:
                    raise
                self._problem(
                    f"bad {feature.name}", session, role, f"{error}".removesuffix(".")
                )
                continue
            if not found.valid.any():
                text = f"{pieces[0].path} has no row of this person"
                self._problem(f"empty {feature.name}", session, role, text)
                continue
            tracks[feature.name] = Track(
                feature=feature,
                path=pieces[0].path,
                rate=found.rate,
                num_frames=len(found.valid),
                header_rate=found.rate,
                source=source,
            )
        return tracks

    def _check_columns(self, feature: str, own: Path, columns: tuple[str, ...]) -> None:
        """Checks that the columns are those of the feature's first table."""
        path, first = self._columns.setdefault(feature, (own, columns))
        if columns != first:
            odd = next((a, b) for a, b in zip(columns, first, strict=True) if a != b)
            raise format_error(
                own,
                "columns",
                expected=f"{odd[1]!r} in its place, as in {path} (name the columns in "
                "the configuration)",
                got=repr(odd[0]),
            )
