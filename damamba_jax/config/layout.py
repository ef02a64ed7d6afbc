"""Sections that say where the files of a corpus are, and how its tables are read.

Every default means one of three things: something is absent, the file itself says it,
or the corpus has the file names and the rates of the released corpora.
"""

import dataclasses
from typing import ClassVar, Literal

from damamba_jax.config.fields import (
    NOT_NEGATIVE,
    POSITIVE,
    Section,
    check_plain_names,
    setting,
)
from damamba_jax.errors import ConfigError

TimeUnit = Literal["s", "ms", "mm:ss", "frames"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class TableReading(Section):
    """Fields that say how the text and the rows of a table are read."""

    rows: tuple[str, ...] = setting(
        "Rows that belong to a person, as `column=pattern`. The pattern has the same "
        "fields as patterns of file names: `speaker={role}`, `id=P{session}_T{turn}`. "
        "Empty means all rows.",
        default=(),
    )
    time_unit: TimeUnit = setting(
        "Unit of the times: seconds, milliseconds, `mm:ss` (also `hh:mm:ss.5`), or "
        "numbers of frames.",
        default="s",
    )
    frame_rate: float = setting(
        "Frames per second, for times that are numbers of frames; 0 means the nominal "
        "rate.",
        unit="Hz",
        range=NOT_NEGATIVE,
        default=0.0,
    )
    delimiter: str = setting(
        "Separator of columns; empty means that it is found from the first line.",
        default="",
    )
    decimal: Literal["", ".", ","] = setting(
        "Decimal sign; empty means that it is found from the first lines.", default=""
    )
    encoding: str = setting(
        "Encoding of the text; empty means UTF-8, UTF-16 if the file has its byte "
        "order mark, or else Latin-1.",
        default="",
    )

    def __post_init__(self) -> None:
        """Checks the ranges, and that each entry of `rows` names a column."""
        super().__post_init__()
        bad = [entry for entry in self.rows if not all(entry.partition("="))]
        if bad:
            raise ConfigError(
                f"`{self.path_of('rows')}`: expected `column=pattern`, got {bad[0]!r}."
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class TableConfig(TableReading):
    """The tables of one feature, and the columns that it takes from them."""

    path: ClassVar[str] = "features.NAME.table"

    preset: Literal["", "openface", "openpose", "opensmile", "pyfeat", "mediapipe"] = (
        setting(
            "Program that wrote the tables; it fills the fields that are left empty.",
            default="",
        )
    )
    files: str = setting(
        "Pattern of the tables; empty means `data.layout.feature_path`.", default=""
    )
    columns: tuple[str, ...] = setting(
        "Columns by name or pattern, such as `AU*_r`, in this order; empty means all "
        "columns that no other field names. If two columns have the same name, `.1` is "
        "added to the second name.",
        default=(),
    )
    time: str = setting(
        "Column of the times; empty means that rows follow each other at the nominal "
        "rate.",
        default="",
    )
    time_zero: Literal["recording", "turn", "first"] = setting(
        "Zero of the times: the start of the recording, the start of the turn, or the "
        "first row of the file.",
        default="recording",
    )
    hold: bool = setting(
        "Whether a row stays valid until the next row or the end of its turn, as "
        "statistics of a turn do.",
        default=False,
    )
    valid: tuple[str, ...] = setting(
        "Conditions that a row must meet, such as `confidence>=0.8`; frames of other "
        "rows are missing.",
        default=(),
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class TurnsConfig(TableReading):
    """A table that says when each turn starts and ends."""

    path: ClassVar[str] = "data.layout.turns"

    files: str = setting("Pattern of the tables of turns.")
    turn: str = setting("Column that names the turn, as `{turn}` does in patterns.")
    start: str = setting(
        "Column of the starts; empty means that a turn starts where the turn before it "
        "ends.",
        default="",
    )
    end: str = setting(
        "Column of the ends; empty means that `duration` is set instead.", default=""
    )
    duration: str = setting("Column of the durations, in place of `end`.", default="")

    def __post_init__(self) -> None:
        """Checks that the table says how long a turn lasts."""
        super().__post_init__()
        if bool(self.end) == bool(self.duration):
            raise ConfigError(
                f"`{self.path}`: expected either `end` or `duration`, got "
                f"{self.end!r} and {self.duration!r}."
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class LabelConfig(TableReading):
    """Annotations in tables, NOVA files or ELAN files, not as one value per line."""

    path: ClassVar[str] = "data.layout.labels"

    values: tuple[str, ...] = setting(
        "Columns of the values, by name or pattern. In a pattern, `{rater}` and "
        "`{turn}` stand for the name of a rater or a turn: `engagement`, "
        "`rater_{rater}`, `Turn {turn}`.",
        default=("value",),
    )
    time: str = setting(
        "Column of the times, for values at points in time.", default=""
    )
    start: str = setting("Column of the starts, for values of intervals.", default="")
    end: str = setting(
        "Column of the ends, for values of intervals; empty means that a value holds "
        "until the next value.",
        default="",
    )
    turn: str = setting(
        "Column that names the turn, for values of turns; the tables of "
        "`data.layout.turns` say when the turn is.",
        default="",
    )
    tier: str = setting(
        "Tier of an ELAN file, with the fields `{role}` and `{rater}`.",
        default="{role}",
    )

    def __post_init__(self) -> None:
        """Checks that the place in time of a value is given in one way only."""
        super().__post_init__()
        if self.end and not self.start:
            raise ConfigError(
                f"`{self.path}`: expected `start` beside `end` = {self.end!r}, got "
                "nothing."
            )
        if (self.time != "") + (self.start != "") + (self.turn != "") > 1:
            raise ConfigError(
                f"`{self.path}`: expected one of `time`, `start` and `turn`, got "
                f"{self.time!r}, {self.start!r} and {self.turn!r}."
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class LayoutConfig(Section):
    """Places of a corpus's files, relative to its root.

    Patterns hold the fields `{split}`, `{session}`, `{role}` and `{stem}`. For files
    that hold one piece of a recording, they also hold `{turn}` and `{rater}`. A layout
    with one role needs no `{role}`.
    """

    path: ClassVar[str] = "data.layout"

    name: str = setting("Name of the corpus in tables, e.g. `noxi`.")
    splits: tuple[str, ...] = setting(
        "Folders that hold sessions; a split has its folder's name."
    )
    roles: tuple[str, ...] = setting(
        "Participants of a session, e.g. `expert` and `novice`."
    )
    partner_roles: tuple[str, ...] = setting(
        "Members of `roles` that are only partners, such as a robot or an interviewer: "
        "the model sees them, but they are not rated and not scored.",
        default=(),
    )
    feature_path: str = setting(
        "Pattern of a stream header, or of a table.",
        default="{split}/{session}/{role}.{stem}.stream",
    )
    label_path: str = setting(
        "Pattern of an annotation. `X.annotation` is a file of NOVA and `X.eaf` is a "
        "file of ELAN; other files have one value per line unless `labels` is set.",
        default="{split}/{session}/{role}.engagement.annotation.csv",
    )
    label_rate: float = setting(
        "Rate of the annotations; intervals, turns and annotations of another rate are "
        "sampled at this rate.",
        unit="Hz",
        range=POSITIVE,
        default=25.0,
    )
    labels: LabelConfig | None = setting(
        "Columns, raters and places in time of the annotations; `None` if the files "
        "need no description.",
        default=None,
    )
    turns: TurnsConfig | None = setting(
        "Table of turns, for features or labels that have one piece per turn.",
        default=None,
    )
    people: str = setting(
        "Table that says who sat where, for people who come again in other sessions. "
        "Its columns are `session`, `role`, `person` and, if sessions of two splits "
        "have the same name, `split`.",
        default="",
    )

    def __post_init__(self) -> None:
        """Checks the ranges and the names."""
        super().__post_init__()
        check_plain_names(self.path, self.name, *self.splits, *self.roles)
        if not self.roles or not self.splits:
            raise ConfigError(
                f"`{self.path}`: expected one or more `roles` and `splits`, got "
                f"{self.roles} and {self.splits}."
            )
        unknown = [role for role in self.partner_roles if role not in self.roles]
        if unknown or len(set(self.partner_roles)) == len(self.roles):
            raise ConfigError(
                f"`{self.path_of('partner_roles')}`: expected some of "
                f"{', '.join(self.roles)}, and not all, got "
                f"{', '.join(self.partner_roles)}."
            )

    @property
    def label_reading(self) -> LabelConfig | None:
        """The fields for reading annotations; `None` for one value per line."""
        named = self.label_path.lower().endswith((".annotation", ".eaf"))
        return self.labels or (LabelConfig() if named else None)
