"""Result tables: our rows beside published ones, as Markdown, JSON and in a terminal.

A number stands in a published column only if it was measured on that very test set;
validation and training splits have tables of their own. Rows of the simulated corpus
say so, and so does a model that was trained on the one and scored on the other.
"""

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from rich import box
from rich import table as rich_table
from rich.console import Console
from rich.text import Text

from damamba_jax.metrics import Scores
from damamba_jax.published import PUBLISHED, SOURCES
from damamba_jax.results import COLUMNS, Result, SplitResult

ABSENT = "–"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Table:
    """Cells as text, ready for any writer; the first column names the row."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()

    def to_markdown(self) -> str:
        header = [self.columns, ("---", *["---:"] * (len(self.columns) - 1))]
        lines = [
            f"| {' | '.join(map(_escape, row))} |" for row in [*header, *self.rows]
        ]
        notes = [f"\n{note}" for note in self.notes]
        return "\n".join([f"## {self.title}", "", *lines, *notes, ""])

    def to_rich(self) -> rich_table.Table:
        table = rich_table.Table(
            title=plain(self.title), caption=plain("\n".join(self.notes)),
            box=box.SIMPLE, title_justify="left", caption_justify="left",
        )  # fmt: skip
        table.add_column(self.columns[0])
        for column in self.columns[1:]:
            table.add_column(column, justify="right")
        for row in self.rows:
            table.add_row(*map(plain, row))
        return table


def plain(text: str) -> Text:
    """Keeps text from data files from being read as markup or terminal commands."""
    return Text("".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in text))


def show(table: Table, console: Console) -> None:
    """Prints a table; what is no terminal gets Markdown, having no width to fit."""
    if console.is_terminal:
        console.print(table.to_rich())
    else:
        console.print(plain(table.to_markdown()), highlight=False, soft_wrap=True)


def publish(
    table: Table, numbers: Mapping[str, Any], out: Path, *, console: Console
) -> None:
    """Prints a table and writes it, as Markdown and as JSON, beside its picture.

    Args:
      table: as text.
      numbers: the same for programs.
      out: of the files, without an ending.
      console: where it is printed.
    """
    write_text(out.with_suffix(".md"), table.to_markdown())
    text = json.dumps(numbers, indent=2, allow_nan=False)
    write_text(out.with_suffix(".json"), text + "\n")
    show(table, console)
    console.print(
        f"Written: {out}.md, .json and .png",
        markup=False, highlight=False, soft_wrap=True,
    )  # fmt: skip


def tables(results: Sequence[Result]) -> list[Table]:
    """Makes every table that the results have numbers for, the main table first."""
    made = [main_table(results), *_split_tables(results), *_oracle_tables(results)]
    for name, field in (
        ("role", "by_role"), ("language", "by_language"), ("session", "by_session"),
    ):  # fmt: skip
        made.extend(_group_tables(results, name, field))
    return [table for table in made if table.rows]


def main_table(results: Sequence[Result]) -> Table:
    """Puts our test scores beside the published ones, in the order of the paper."""
    rows = []
    for result in results:
        tests = _published_tests(result)
        cells = {name: _with_interval(s.scores) for name, s in tests.items()}
        overall = _overall({name: s.scores.ccc for name, s in tests.items()})
        rows.append(_main_row(_method(result), cells, _number(overall), result.mark))
    for result in results:
        references = [_reference_rows(result, kind) for kind in ("ridge", "oracle")]
        rows.extend(row for found in references for row in found if row not in rows)
    for p in PUBLISHED:
        cells = (f"{v:.2f}" for v in (p.base, p.add, p.mpiigi, p.overall))
        rows.append((p.method, *cells, f"published {list(p.sources)}"))
    return Table(
        title="Test CCC beside published results",
        columns=("method", *COLUMNS, "Global", "origin"),
        rows=tuple(rows),
        notes=_main_notes(results),
    )


def write_markdown(path: str | os.PathLike, results: Sequence[Result]) -> None:
    """Writes every table, and one line for each split without labels."""
    marks = sorted({result.mark for result in results})
    text = ["# Results", "", f"Rows: {', '.join(marks)}.", ""]
    text += [table.to_markdown() for table in tables(results)]
    text += [f"- {line}" for line in unlabelled_lines(results)]
    write_text(Path(path), "\n".join(text).rstrip() + "\n")


def write_json(path: str | os.PathLike, results: Sequence[Result]) -> None:
    """Writes the same as numbers: strict JSON, absent values are `null`.

    Raises:
      ValueError: for a value that is not finite.
    """
    tree = {
        "results": [_result_tree(result) for result in results],
        "published": [
            {
                **row._asdict(),
                "published": True,
                "sources": [SOURCES[key] for key in row.sources],
            }
            for row in PUBLISHED
        ],
    }
    write_text(Path(path), json.dumps(tree, indent=2, allow_nan=False) + "\n")


def unlabelled_lines(results: Sequence[Result]) -> list[str]:
    """One line for each split with people who could be predicted but not scored."""
    return [
        f"{s.split}: {s.num_unlabelled} people without annotations are predicted, not "
        f"scored; see {s.predictions}"
        for result in results
        for s in result.splits
        if s.num_unlabelled
    ]


def _published_tests(result: Result) -> dict[str, SplitResult]:
    """Scored test splits by the published column they belong to."""
    tests = {s.split.lower(): s for s in result.splits if s.kind == "test" and s.scores}
    return {column: tests[split] for column, split in COLUMNS.items() if split in tests}


def _overall(values: Mapping[str, float]) -> float | None:
    """Plain mean of the three test sets; `None` until all of them exist."""
    if set(values) != set(COLUMNS):
        return None
    return sum(values.values()) / len(values)


def _reference_rows(result: Result, kind: str) -> list[tuple[str, ...]]:
    """Rows of what the same frames give to a ridge regression or to the oracle."""
    cells: dict[str, dict[str, float]] = {}
    for column, split in _published_tests(result).items():
        if kind == "ridge" and split.ridge is not None:
            cells.setdefault("ridge regression per frame", {})[column] = split.ridge.ccc
        if kind == "oracle" and split.oracle is not None:
            # One row; its cells of shifted domains are the transfer oracle's.
            name = f"oracle, {split.oracle.seen}"
            cells.setdefault(name, {})[column] = split.oracle.ccc
    mark = "simulated" if result.scored_on_simulated else "ours"
    return [
        _main_row(
            name,
            {column: _number(value) for column, value in values.items()},
            _number(_overall(values)),
            mark,
        )
        for name, values in cells.items()
    ]


def _main_row(
    name: str, cells: Mapping[str, str], overall: str, origin: str
) -> tuple[str, ...]:
    return (name, *(cells.get(c, ABSENT) for c in COLUMNS), overall, origin)


def _main_notes(results: Sequence[Result]) -> tuple[str, ...]:
    notes = [
        "CCC over all frames of a test set, pooled; in brackets the 95 % interval over "
        "resampled sessions. Global is the mean of the three and needs all of them.",
        "Published rows: " + "; ".join(f"[{k}] {v}" for k, v in SOURCES.items()) + ".",
    ]
    if any(result.scored_on_simulated for result in results):
        notes.append(
            "Rows marked simulated were measured on a drawn corpus; they cannot be "
            "compared with published rows, which were measured on recordings. The "
            "oracle of NoXi-Add and MPIIGI is a transfer oracle."
        )
    for result in results:
        if not _published_tests(result):
            notes.append(
                f"{_method(result)}: no labelled test set was found; validation "
                "scores never stand here."
            )
    return tuple(notes)


def _split_tables(results: Sequence[Result]) -> list[Table]:
    titles = {
        "test": "Test sets",
        "validation": "Validation (not comparable with published test scores)",
        "other": "Other splits",
        "training": "Training sessions (seen by the model)",
    }
    columns = (
        "split", "method", "sessions", "frames", "CCC", "Pearson r", "MSE", "MAE",
        "origin",
    )  # fmt: skip
    made = []
    for kind, title in titles.items():
        rows = []
        for result, s in _scored(results):
            if s.kind == kind:
                named = [(_method(result), s.scores)]
                named += [("ridge regression per frame", s.ridge)] if s.ridge else []
                rows += [
                    (s.split, name, str(v.num_sessions), str(v.num_frames),
                     *_values(v), result.mark)
                    for name, v in named
                ]  # fmt: skip
        made.append(Table(title=title, columns=columns, rows=tuple(rows)))
    return made


def _oracle_tables(results: Sequence[Result]) -> list[Table]:
    rows = [
        (
            s.split, s.kind, _method(result), _number(s.scores.ccc),
            _number(s.ridge.ccc if s.ridge else None), s.oracle.name,
            _number(s.oracle.ccc), _number(s.oracle.bare_ccc),
            _percent(s.share_of_oracle), _percent(s.gap_closed),
        )
        for result, s in _scored(results)
        if s.oracle is not None
    ]  # fmt: skip
    return [
        Table(
            title="Against the oracle (simulated)",
            columns=(
                "split", "set", "method", "CCC", "ridge", "oracle", "oracle CCC",
                "bare", "share of oracle", "gap closed",
            ),
            rows=tuple(rows),
            notes=(
                "The oracle knows the generator's parameters: no estimator passes its "
                "CCC. A transfer oracle knows those of the training domain only: "
                "a yardstick. `bare` is the estimate before rescaling; `gap closed` is "
                "the way from the ridge regression to the oracle. An oracle that is "
                "named as seeing less than the model is no ceiling.",
            ),
        )
    ]  # fmt: skip


def _group_tables(results: Sequence[Result], name: str, field: str) -> list[Table]:
    rows = [
        (group if group.startswith(s.split) else f"{s.split}: {group}", s.kind,
         _method(result), str(v.num_frames), *_values(v), result.mark)
        for result, s in _scored(results)
        for group, v in getattr(s, field).items()
    ]  # fmt: skip
    columns = (
        name, "set", "method", "frames", "CCC", "Pearson r", "MSE", "MAE", "origin"
    )  # fmt: skip
    return [Table(title=f"By {name}", columns=columns, rows=tuple(rows))]


def _scored(results: Sequence[Result]) -> list[tuple[Result, SplitResult]]:
    return [(r, s) for r in results for s in r.splits if s.scores is not None]


def _result_tree(result: Result) -> dict[str, Any]:
    tests = _published_tests(result)
    splits = [
        {
            **dataclasses.asdict(s),
            "share_of_oracle": s.share_of_oracle,
            "gap_closed": s.gap_closed,
        }
        for s in result.splits
    ]
    return {
        **dataclasses.asdict(result),
        "mark": result.mark,
        "published": False,
        "global_ccc": _overall({name: s.scores.ccc for name, s in tests.items()}),
        "splits": splits,
    }


def _method(result: Result) -> str:
    suffix = ", one long pass" if result.protocol == "long" else ""
    if result.smoothing != "none":
        suffix += f", smoothed ({result.smoothing})"
    step = "" if result.step is None else f", step {result.step}"
    return f"{result.method}{step}{suffix}"


def _values(scores: Scores) -> tuple[str, ...]:
    return (
        _with_interval(scores),
        _number(scores.pearson),
        f"{scores.mse:.4f}",
        f"{scores.mae:.4f}",
    )


def _with_interval(scores: Scores) -> str:
    if scores.ccc_low is None or scores.ccc_high is None:
        return _number(scores.ccc)
    return f"{scores.ccc:.3f} [{scores.ccc_low:.2f}, {scores.ccc_high:.2f}]"


def _number(value: float | None) -> str:
    return ABSENT if value is None else f"{value:.3f}"


def _percent(value: float | None) -> str:
    return ABSENT if value is None else f"{100 * value:.0f} %"


def _escape(cell: str) -> str:
    return cell.replace("|", "\\|").replace("\n", " ")


def spread(values: Sequence[float]) -> str:
    """Mean and standard deviation of what seeds scored; one alone has none."""
    if not values:
        return ABSENT
    deviation = f" ± {stdev(values):.3f}" if len(values) > 1 else ""
    return f"{fmean(values):.3f}{deviation}"


def difference(mean: float, standard_error: float | None) -> str:
    """A signed difference with its standard error, if that can be known."""
    error = "" if standard_error is None else f" ± {standard_error:.3f}"
    return f"{mean:+.3f}{error}"


def write_text(path: Path, text: str) -> None:
    """Writes a file that appears in one move."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
