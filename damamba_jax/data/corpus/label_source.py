"""Reads the annotations of one person from any kind of file, as values at one rate."""

import dataclasses
import functools
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import numpy as np

from damamba_jax.array_types import Float
from damamba_jax.config.layout import LabelConfig
from damamba_jax.config.sections import DataConfig
from damamba_jax.data.corpus import patterns
from damamba_jax.data.corpus.patterns import Match
from damamba_jax.data.corpus.table_rows import (
    Span,
    key_columns,
    open_with,
    read_all,
)
from damamba_jax.data.formats import annotations, elan, ratings, ssi
from damamba_jax.data.formats.class_names import ClassNames
from damamba_jax.data.formats.headers import (
    MixedDecimalsError,
    Numbers,
    warn_once,
)
from damamba_jax.data.formats.ratings import Ratings
from damamba_jax.data.formats.tables import Table, find_columns
from damamba_jax.errors import ConfigError, format_error
from damamba_jax.metrics.classes import agree_on_class
from damamba_jax.metrics.finite import finite_mean
from damamba_jax.metrics.trace import to_unit

_log = logging.getLogger(__name__)

# The name of the rater if the annotation does not name one.
ONLY_RATER = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scale:
    """The meaning of the values of annotations.

    Args:
      low, high: values that the model sees as 0 and 1.
      classes: the names of the classes, which become the numbers 0, 1, ...; empty if
        annotations are numbers.
      ordered: whether the classes are steps of a scale.
      delay_seconds: time by which annotations come too late, s.
      unit: what has one score of its own, a frame or a turn.
      chosen: whether a configuration gives the scale. A file most of whose values lie
        outside of the range is then an error.
    """

    low: float = 0.0
    high: float = 1.0
    classes: tuple[str, ...] = ()
    ordered: bool = False
    delay_seconds: float = 0.0
    unit: Literal["frame", "turn"] = "frame"
    chosen: bool = False

    @classmethod
    def of(cls, data: DataConfig) -> "Scale":
        """Makes the scale that the `data` section of a configuration describes."""
        low, high = data.label_range
        return cls(
            low=low,
            high=high,
            classes=data.classes,
            ordered=data.classes_ordered,
            delay_seconds=data.label_delay_seconds,
            unit=data.label_unit,
            chosen=True,
        )

    @property
    def label_range(self) -> tuple[float, float]:
        """Lowest and highest value, as `data.label_range` gives them."""
        if self.classes:
            return 0.0, len(self.classes) - 1.0
        return self.low, self.high


@dataclasses.dataclass(frozen=True, kw_only=True)
class LabelSource:
    """The annotations of one person.

    Args:
      pieces: files of the annotation, at least one.
      config: how the files are read; `None` if they have one value per line.
      fields: known fields of patterns: split, session and role.
      turns: start and end of each turn, by its name in lower case.
      rate: frames per second of the result, Hz.
      limit_seconds: length of the recording, which no annotation exceeds.
      scale: range and delay of the annotations.
    """

    pieces: tuple[Match, ...]
    config: LabelConfig | None
    fields: Mapping[str, str]
    turns: Mapping[str, Span]
    rate: float
    limit_seconds: float
    scale: Scale = Scale()

    def read(self) -> Float[np.ndarray, "T"]:
        """Reads the annotation: the mean of the raters, NaN where nobody rated.

        For classes it is the class on which the raters agree; see `agree_on_class`.

        Raises:
          DataFormatError: for a malformed file, or one without any number or class.
        """
        raters = np.stack([*self.read_raters().values()] or [np.zeros(0)])
        if not self.scale.classes:
            return finite_mean(raters)
        size, ordered = len(self.scale.classes), self.scale.ordered
        return agree_on_class(raters, num_classes=size, ordered=ordered)

    def read_raters(self) -> dict[str, Float[np.ndarray, "T"]]:
        """Reads the values of each rater; all arrays have the same length.

        Raises:
          DataFormatError: as `read`.
        """
        if self.config is None:
            lines = {
                p.fields.get("rater", ONLY_RATER): self._read_lines(p)
                for p in self.pieces
            }
            shift = round(self.scale.delay_seconds * self.rate)
            length = max(map(len, lines.values()), default=0)
            found = {}
            for rater, values in lines.items():
                found[rater] = np.full(length, np.nan)
                found[rater][: max(len(values) - shift, 0)] = values[shift:]
            return {rater: self._to_unit(values) for rater, values in found.items()}
        given = self._ratings()
        frames = ratings.num_frames(
            max([r.seconds for r in given.values()], default=0.0),
            self.rate,
            limit_seconds=self.limit_seconds,
        )
        return {
            rater: self._to_unit(ratings.sample(r, rate=self.rate, frames=frames))
            for rater, r in sorted(given.items())
            if np.isfinite(r.value).any()
        }

    @functools.cached_property
    def spans(self) -> tuple[Span, ...]:
        """The stretches that were rated as a whole, in the order of their starts.

        These are the turns of the session, if they are known, and otherwise the
        intervals of the annotation. There are none if every frame has its own value.
        The files are read at the first use only.

        Raises:
          DataFormatError: as `read`.
        """
        delay = self.scale.delay_seconds
        if self.turns:
            spans = self.turns.values()
            found = (Span(s.start - delay, s.end - delay, s.name) for s in spans)
            return tuple(sorted(found))
        if not self._rates_intervals():
            return ()
        edges = set()
        for given in self._ratings().values():
            keep = np.isfinite(given.value)
            pairs = zip(given.start[keep], given.end[keep], strict=True)
            edges |= {(float(start), float(end)) for start, end in pairs}
        return tuple(Span(a, b, str(i + 1)) for i, (a, b) in enumerate(sorted(edges)))

    def _rates_intervals(self) -> bool:
        """Says whether values belong to intervals, not to points in time or frames."""
        path = self.pieces[0].path
        suffix = path.suffix.lower()
        if suffix == ".annotation":
            found = annotations.read_annotation(path)
            return not isinstance(found, annotations.ContinuousAnnotation)
        return suffix == ".eaf" or bool(self.config and self.config.start)

    def _read_lines(self, piece: Match) -> Float[np.ndarray, "T"]:
        """Reads a file of one value per line."""
        if not self.scale.classes:
            return ssi.read_labels(piece.path)
        return self._read_texts(piece, "lines", ssi.read_label_lines(piece.path))

    def _to_unit(self, values: np.ndarray) -> np.ndarray:
        if self.scale.classes:
            return values
        low, high = self.scale.label_range
        rated = np.isfinite(values)
        outside = rated & ((values < low) | (values > high))
        if self.scale.chosen and 2 * outside.sum() > rated.sum():
            least, most = np.min(values[rated]), np.max(values[rated])
            raise format_error(
                self.pieces[0].path,
                "values",
                expected="most of them within `data.label_range` = "
                f"({low:g}, {high:g})",
                got=f"{least:g} to {most:g}; set the annotation's own range, e.g. "
                f"--config.data.label_range={least:g},{most:g}",
            )
        scaled = to_unit(values, self.scale.label_range)
        if scaled is values:  # The range is [0, 1] already.
            return values
        if outside.any():
            warn_once(
                _log,
                f"{self.pieces[0].path}: {np.count_nonzero(outside)} frames are rated "
                f"outside of `data.label_range` = ({low:g}, {high:g}), the first with "
                f"{values[outside][0]:g}; they count as not rated.",
            )
        return np.where(outside, np.nan, scaled)

    def _ratings(self) -> dict[str, Ratings]:
        found: dict[str, list[Ratings]] = {}
        for piece in self.pieces:
            suffix = piece.path.suffix.lower()
            if suffix == ".eaf":
                read = self._read_tiers
            elif suffix == ".annotation":
                read = self._read_nova
            else:
                read = self._read_table
            for rater, part in read(piece):
                name = rater or piece.fields.get("rater", ONLY_RATER)
                found.setdefault(name, []).append(part)
        delay = self.scale.delay_seconds
        joined = {rater: ratings.join(parts) for rater, parts in found.items()}
        return {
            rater: Ratings(r.start - delay, r.end - delay, r.value)
            for rater, r in joined.items()
        }

    def _read_tiers(self, piece: Match) -> Iterator[tuple[str, Ratings]]:
        assert self.config is not None, "plain lines are no ELAN file"
        rule = patterns.compile_part(
            self.config.tier, {**piece.fields, **self.fields}, {}
        )
        for name, intervals in elan.read_tiers(piece.path).items():
            match = rule.fullmatch(name)
            if match is None or not intervals:
                continue
            start, end, texts = zip(*intervals, strict=True)
            values = self._read_texts(piece, f"tier {name}", texts)
            part = Ratings(np.array(start), np.array(end), values)
            yield match.groupdict().get("rater", ONLY_RATER), part

    def _read_nova(self, piece: Match) -> Iterator[tuple[str, Ratings]]:
        found = annotations.read_annotation(piece.path)
        if isinstance(found, annotations.ContinuousAnnotation):
            time = np.arange(len(found.score)) / found.sample_rate
            half = 0.5 / found.sample_rate
            values = np.asarray(found.score, np.float64)
            if self.scale.classes:
                texts = [f"{value:g}" for value in values.tolist()]
                values = self._read_texts(piece, "score", texts)
            yield ONLY_RATER, Ratings(time - half, time + half, values)
            return
        if isinstance(found, annotations.DiscreteAnnotation):
            names = [found.classes.get(i, "") for i in found.id.tolist()]
            texts = [n if i >= 0 else "" for n, i in zip(names, found.id, strict=True)]
        else:
            texts = list(found.label)
        values = self._read_texts(piece, "label", texts)
        yield ONLY_RATER, Ratings(found.start, found.stop, values)

    def _read_table(self, piece: Match) -> Iterator[tuple[str, Ratings]]:
        config = self.config
        assert config is not None, "plain lines are no table"
        table, fields = open_with(piece.path, config), {**piece.fields, **self.fields}
        columns = self._value_columns(table, fields)
        times = [c for c in (config.time, config.start, config.end) if c]
        turn = (f"{config.turn}={{turn}}",) if config.turn else ()
        rows = read_all(
            table,
            dataclasses.replace(config, rows=(*config.rows, *turn)),
            fields,
            times=times,
            numbers=[] if self.scale.classes else [*columns],
            texts=[*columns] if self.scale.classes else [],
            nominal_rate=self.rate,
        )
        nobody = np.full(len(rows.numbers), "")
        rater = rows.fields.get("rater", nobody)
        turn = rows.fields.get("turn", nobody)
        for i, (name, (column_rater, column_turn)) in enumerate(columns.items()):
            if self.scale.classes:
                value = self._read_texts(piece, name, rows.texts[name].tolist())
            else:
                value = rows.numbers[:, len(times) + i]
            for who in np.unique(rater):
                mine = rater == who
                names = [column_turn or t for t in turn[mine]]
                part = self._place(rows.numbers[mine, : len(times)], names, value[mine])
                yield column_rater or str(who), part

    def _read_texts(
        self, piece: Match, field: str, texts: Sequence[str]
    ) -> Float[np.ndarray, "n"]:
        """Reads texts as numbers or classes; any other text counts as not rated."""
        classes = self.scale.classes
        if classes:
            expected = f"the classes {', '.join(classes)}"
            values, refused = ClassNames(classes).read(texts)
        else:
            expected = "numbers as values"
            values, refused = _read_numbers(piece, field, texts)
        if refused:
            first = texts[refused[0]].strip()[:40]
            if not np.isfinite(values).any():
                raise format_error(
                    piece.path, field, expected=expected, got=repr(first)
                )
            warn_once(
                _log,
                f"{piece.path}: {len(refused)} values of {field} are not {expected}, "
                f"such as {first!r}, and count as not rated.",
            )
        return values

    def _place(
        self, times: np.ndarray, turns: Sequence[str], value: np.ndarray
    ) -> Ratings:
        """Gives each value the start and the end of the time for which it holds."""
        assert self.config is not None, "plain lines are no table"
        if self.config.time:
            return ratings.from_points(times[:, 0], value)
        if self.config.end:
            return Ratings(times[:, 0], times[:, 1], value)
        if self.config.start:
            return Ratings(times[:, 0], np.full(len(value), self.limit_seconds), value)
        if not any(turns):
            time = np.arange(len(value)) / self.rate
            return Ratings(time - 0.5 / self.rate, time + 0.5 / self.rate, value)
        if not self.turns:
            raise ConfigError(
                "`data.layout.labels`: the values belong to turns, but nothing says "
                "when the turns were; set `data.layout.turns`."
            )
        nowhere = Span(np.nan, np.nan)
        spans = [self.turns.get(str(t).casefold(), nowhere)[:2] for t in turns]
        start, end = np.array(spans, np.float64).reshape(-1, 2).T
        return Ratings(start, end, value)

    def _value_columns(
        self, table: Table, fields: Mapping[str, str]
    ) -> dict[str, tuple[str, str]]:
        """Finds the columns of values, with the rater and the turn in each name."""
        config = self.config
        assert config is not None, "plain lines are no table"
        found: dict[str, tuple[str, str]] = {}
        for wanted in config.values:
            if "{" not in wanted:
                names = find_columns(table, [wanted], without=key_columns(config))
                several = len(names) > 1 or len(config.values) > 1
                found |= {name: (name if several else "", "") for name in names}
                continue
            rule = patterns.compile_part(wanted, fields, {})
            for name in table.names:
                if match := rule.fullmatch(name):
                    groups = match.groupdict()
                    found[name] = (groups.get("rater", ""), groups.get("turn", ""))
        if not found:
            find_columns(table, config.values)
        return found


def _read_numbers(
    piece: Match, field: str, texts: Sequence[str]
) -> tuple[Float[np.ndarray, "n"], list[int]]:
    """Reads texts as numbers, and lists the indices of texts that are no numbers."""
    values, refused, numbers = np.full(len(texts), np.nan), [], Numbers()
    for i, text in enumerate(texts):
        try:
            values[i] = numbers(text)
        except MixedDecimalsError as error:
            raise format_error(
                piece.path, field, expected="one decimal sign", got=f"{error}"
            ) from error
        except ValueError:
            refused += [i] * bool(text.strip())
    return values, refused
