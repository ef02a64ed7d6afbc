"""Result tables: our rows beside published ones, as Markdown, JSON and in a terminal.

A number stands in a published column only if it was measured on the same test set.
Validation and training splits have tables of their own. Rows of the simulated corpus
are marked. A model that was trained on simulated data and scored on recordings, or the
other way round, is marked too.
"""

import os
from collections.abc import Mapping, Sequence

from damamba_jax import files
from damamba_jax.data.corpus.ceiling import Ceiling
from damamba_jax.evaluation.published import CHALLENGE, PUBLISHED, SOURCES
from damamba_jax.evaluation.results import COLUMNS, Result, SplitResult, to_tree
from damamba_jax.files import write_text
from damamba_jax.metrics.agreement import MIN_SESSIONS
from damamba_jax.metrics.challenge import GLOBAL_2024, Part, challenge_scores
from damamba_jax.metrics.classes import ClassScores
from damamba_jax.reporting.group_tables import (
    Shown,
    confusion_tables,
    fairness_table,
    group_tables,
    method_name,
    scored,
)
from damamba_jax.reporting.numbers import (
    ABSENT,
    counted,
    details,
    number,
    over_sessions,
    percent,
    with_interval,
)
from damamba_jax.reporting.table import Table

INTERVAL_NOTE = (
    "Brackets hold the 95 % interval over sessions (jackknife). It needs "
    f"{MIN_SESSIONS} sessions or more: fewer cannot show how much sessions differ."
)


def tables(results: Sequence[Result]) -> list[Table]:
    """Makes every table that the results have numbers for, the main table first.

    There is a main table, with published rows, only for corpora of the challenge.
    """
    made = [*_split_tables(results), *_oracle_tables(results)]
    made += confusion_tables(results)
    if any(_is_of_challenge(result) for result in results):
        made.insert(0, main_table(results))
    made += [_challenge_table(results), fairness_table(results)]
    for name, field in (
        ("role", "by_role"), ("language", "by_language"), ("session", "by_session"),
    ):  # fmt: skip
        made.extend(group_tables(results, name, field))
    return [table for table in made if table.rows]


def main_table(results: Sequence[Result]) -> Table:
    """Makes the table of our test scores and the published ones.

    The columns have the order of the paper.
    """
    rows = []
    for result in results:
        tests = _published_tests(result)
        cells = {name: with_interval(s.scores) for name, s in tests.items() if s.scores}
        overall = _overall_ccc(tests)
        rows.append(_main_row(method_name(result), cells, number(overall), result.mark))
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
    lines = [*rater_lines(results), *unlabelled_lines(results)]
    text += [f"- {line}" for line in lines]
    write_text(path, "\n".join(text).rstrip() + "\n")


def write_json(path: str | os.PathLike, results: Sequence[Result]) -> None:
    """Writes the results as numbers, in strict JSON; absent values are `null`.

    Raises:
      ValueError: for a value that is not finite.
    """
    tree = {
        "results": [
            {
                **to_tree(result),
                "published": False,
                "global_ccc": _overall_ccc(_published_tests(result)),
                "challenge": _challenge_scores(result),
            }
            for result in results
        ],
        "published": [
            {
                **row._asdict(),
                "published": True,
                "sources": [SOURCES[key] for key in row.sources],
            }
            for row in PUBLISHED
            if any(_is_of_challenge(result) for result in results)
        ],
    }
    files.write_json(path, tree)


def rater_lines(results: Sequence[Result]) -> list[str]:
    """Writes one line for each split that several people have rated."""
    lines = [
        f"{s.split}: {Ceiling(dict(s.raters), scores.headline)}"
        for _, s, scores in scored(results)
        if s.raters
    ]
    return list(dict.fromkeys(lines))


def unlabelled_lines(results: Sequence[Result]) -> list[str]:
    """Writes one line for each split with people who were predicted but not scored."""
    return [
        f"{s.split}: {s.num_unlabelled} people without annotations are predicted, not "
        f"scored; see {s.predictions}"
        for result in results
        for s in result.splits
        if s.num_unlabelled
    ]


def _is_of_challenge(result: Result) -> bool:
    """Says whether a model was scored on a corpus of the challenge.

    Simulated copies of these corpora count as well.
    """
    corpora = {split.split.lower().partition("/")[0] for split in result.splits}
    return not corpora.isdisjoint(CHALLENGE)


def _published_tests(result: Result) -> dict[str, SplitResult]:
    """Returns the scored test splits by the published column that they belong to."""
    tests = {s.split.lower(): s for s in result.splits if s.kind == "test" and s.scores}
    return {column: tests[split] for column, split in COLUMNS.items() if split in tests}


def _challenge_scores(result: Result) -> dict[str, float]:
    """Computes every overall score of the challenges that the test sets allow."""
    tests = {
        Part(s.split.lower()): s.scores.value
        for s in result.splits
        if s.kind == "test" and s.scores and not isinstance(s.scores, ClassScores)
    }
    return challenge_scores(tests)


def _challenge_table(results: Sequence[Result]) -> Table:
    """Makes the table of overall scores that are not in the main table."""
    rows = [
        (method_name(result), name, number(value), result.mark)
        for result in results
        for name, value in _challenge_scores(result).items()
        if name != GLOBAL_2024
    ]
    return Table(
        title="Overall scores of the challenges",
        columns=("method", "score", "value", "origin"),
        rows=tuple(rows),
        notes=(
            "Combined 2025 is the mean of four CCCs: NoXi Base, NoXi-Add, NoXi-J and "
            "MPIIGI.",
        ),
    )


def _overall_ccc(tests: Mapping[str, SplitResult]) -> float | None:
    return _overall({name: s.scores.value for name, s in tests.items() if s.scores})


def _overall(values: Mapping[str, float]) -> float | None:
    """Computes the challenge's mean of three test sets; `None` if one is absent."""
    parts = {Part(COLUMNS[name]): value for name, value in values.items()}
    return challenge_scores(parts).get(GLOBAL_2024)


def _reference_rows(result: Result, kind: str) -> list[tuple[str, ...]]:
    """Makes rows with the scores of a reference on the same frames.

    Args:
      result: the result of a model.
      kind: `"ridge"` for the ridge regression, or `"oracle"`.
    """
    cells: dict[str, dict[str, float]] = {}
    for column, split in _published_tests(result).items():
        if kind == "ridge" and split.ridge is not None:
            cells.setdefault("ridge regression per frame", {})[column] = (
                split.ridge.value
            )
        if kind == "oracle" and split.oracle is not None:
            # There is one row for both oracles: its cells for shifted domains are
            # scores of the transfer oracle.
            name = f"oracle, {split.oracle.seen}"
            cells.setdefault(name, {})[column] = split.oracle.ccc
    mark = "simulated" if result.scored_on_simulated else "ours"
    return [
        _main_row(
            name,
            {column: number(value) for column, value in values.items()},
            number(_overall(values)),
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
        "A CCC is computed over all frames of a test set together. "
        f"{INTERVAL_NOTE} Global is the mean of the three test sets and needs all of "
        "them.",
        "Published rows: " + "; ".join(f"[{k}] {v}" for k, v in SOURCES.items()) + ".",
    ]
    if any(result.scored_on_simulated for result in results):
        notes.append(
            "Rows that are marked `simulated` were measured on a simulated corpus. "
            "They cannot be compared with published rows, which were measured on "
            "recordings. The oracle of NoXi-Add and MPIIGI is a transfer oracle."
        )
    for result in results:
        if not _published_tests(result):
            notes.append(
                f"{method_name(result)}: no labelled test set was found. This table "
                "never shows validation scores."
            )
    return tuple(notes)


def _split_tables(results: Sequence[Result]) -> list[Table]:
    titles = {
        "test": "Test sets",
        "validation": "Validation (not comparable with published test scores)",
        "other": "Other splits",
        "training": "Training sessions (seen by the model)",
    }
    made = []
    for kind, title in titles.items():
        shown = [found for found in scored(results) if found[1].kind == kind]
        for headline in dict.fromkeys(scores.headline for _, _, scores in shown):
            alike = [found for found in shown if found[2].headline == headline]
            made.append(_split_table(title, alike))
    return made


def _split_table(title: str, shown: Sequence[Shown]) -> Table:
    """Makes a table with a row for each split.

    Args:
      title: title of the table.
      shown: splits whose scores are all of the same kind, CCC or kappa.
    """
    headline, extra = shown[0][2].headline, list(details(shown[0][2]))
    rows = []
    for result, s, scores in shown:
        named = [(method_name(result), scores)]
        named += [("ridge regression per frame", s.ridge)] if s.ridge else []
        rows += [
            (s.split, name, str(v.num_sessions), counted(v), with_interval(v),
             over_sessions(v), *details(v).values(), result.mark)
            for name, v in named
        ]  # fmt: skip
    return Table(
        title=title,
        columns=(
            "split", "method", "sessions", "frames", headline, "per session", *extra,
            "origin",
        ),
        rows=tuple(rows),
        notes=(
            f"{headline} is computed over all frames of a split together; `per "
            f"session` is the mean and the standard deviation of the {headline} of "
            f"single sessions. {INTERVAL_NOTE}",
        ),
        spare=("MAE", "MSE", "frames", *reversed(extra)),
    )  # fmt: skip


def _oracle_tables(results: Sequence[Result]) -> list[Table]:
    rows = [
        (
            s.split, s.kind, method_name(result), number(scores.value),
            number(s.ridge.value if s.ridge else None), s.oracle.name,
            number(s.oracle.ccc), number(s.oracle.bare_ccc),
            percent(s.share_of_oracle), percent(s.gap_closed),
        )
        for result, s, scores in scored(results)
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
            spare=("bare", "set", "gap closed", "ridge"),
            notes=(
                "The oracle knows the generator's parameters, so no estimator can "
                "expect a higher CCC. A transfer oracle knows only the parameters of "
                "the training domain, so it is a reference and no limit. `bare` is the "
                "CCC before rescaling. `gap closed` is the model's share of the way "
                "from the ridge regression to the oracle. An oracle whose name says "
                "that it sees less than the model is no limit either.",
            ),
        )
    ]  # fmt: skip
