"""Lists what a corpus holds, and what is wrong with it.

    python -m damamba_jax.inventory --root=DIR [--labels_root=DIR] [--features=a,b]
    python -m damamba_jax.inventory --config=FILE.py      # a corpus of your own

Prints every session, role and feature with width, rate (`40 -> 25` where the header is
wrong), frames and label coverage, a summary of each split, and every problem found.
Only headers and label files are read. The exit code is 1 when nothing can be read.
"""

import sys
from collections.abc import Iterator, Sequence

import numpy as np
from absl import flags
from ml_collections import config_flags
from rich.console import Console
from rich.table import Table

from damamba_jax.config.sections import FeatureConfig, LayoutConfig
from damamba_jax.config.tree import from_config_dict
from damamba_jax.data.corpus import index as corpus_index
from damamba_jax.data.corpus.sessions import CorpusIndex, Participant, Session, Track
from damamba_jax.schema.release import RELEASED_FEATURES

# (session's split, session's id, role) -> share of frames with a label
Coverage = dict[tuple[str, str, str], float]


def main(argv: Sequence[str]) -> int:
    """Runs the command; returns its exit code."""
    try:
        if any(argument.lstrip("-").startswith("config") for argument in argv):
            # Not at the top: it loads the model's libraries, which takes seconds.
            from damamba_jax.runtime.command import find_config_file

            argv = find_config_file(argv)
        values = _define_flags(argv)
        rest = values(list(argv))
        if values["help"].value:
            print(f"{__doc__}\nFlags:{values.main_module_help()}")
            return 0
        if len(rest) > 1:
            raise ValueError(f"expected flags only, got {rest[1]!r}; use --root=DIR.")
        root, labels_root, layout, features = _request(values)
        places = {"labels_root": labels_root, "layout": layout, "strict": False}
        found = corpus_index.index(root, features=features, **places)
        if not values["features"].value and values["config"].value is None:
            # Nobody asked for the streams that this corpus does not have at all.
            people = [p for session in found.sessions for p in session.participants]
            held = {name for participant in people for name in participant.tracks}
            features = [f for f in features if f.name in held] or features
            found = corpus_index.index(root, features=features, **places)
    except (flags.Error, ValueError, OSError) as error:
        print(f"inventory: {_plain(str(error))}", file=sys.stderr)
        return 1
    readable = any(p.tracks for session in found.sessions for p in session.participants)
    _print_report(found, features)
    if not readable:
        print("inventory: no stream can be read.", file=sys.stderr)
    return 0 if readable else 1


def _define_flags(argv: Sequence[str]) -> flags.FlagValues:
    """Defines flags of this command alone: importing it defines none for others."""
    values = flags.FlagValues()

    def define(name: str, text: str) -> None:
        flags.DEFINE_string(name, "", text, flag_values=values, module_name=argv[0])

    define("root", "Folder of a corpus, or of several.")
    define("labels_root", "Where labels lie, if not with the features.")
    define(
        "features", "Names of features, with commas; else all that the corpus holds."
    )
    flags.DEFINE_boolean("help", False, "Shows this text.", flag_values=values)
    config_flags.DEFINE_config_file(
        "config",
        None,
        "Training configuration; gives what the other flags do not, and the layout.",
        flag_values=values,
        sys_argv=list(argv),
    )
    return values


def _request(
    values: flags.FlagValues,
) -> tuple[str, str, LayoutConfig | None, list[FeatureConfig]]:
    """Resolves the flags to `(root, labels_root, layout, features)`."""
    root, labels_root = values["root"].value, values["labels_root"].value
    layout, table = None, dict(RELEASED_FEATURES)
    if values["config"].value is not None:
        # A file that cannot be loaded raises on the first use of the configuration.
        config = values["config"].value.copy_and_resolve_references()
        data = from_config_dict(config).data
        root, labels_root = root or data.root, labels_root or data.labels_root
        layout = data.layout
        table = {feature.name: feature for feature in data.features}
    if not root:
        raise ValueError("`--root`: expected the folder of a corpus, got nothing.")
    names = [name for name in values["features"].value.split(",") if name.strip()]
    unknown = [name for name in names if name.strip() not in table]
    if unknown:
        raise ValueError(
            f"`--features`: unknown feature {unknown[0]!r}. Known: {', '.join(table)}."
        )
    features = [table[name.strip()] for name in names] or list(table.values())
    return root, labels_root, layout, features


def _print_report(found: CorpusIndex, features: Sequence[FeatureConfig]) -> None:
    console = Console(highlight=False, markup=False, emoji=False)
    problems = list(found.problems)
    coverage = _label_coverage(found.sessions, problems)
    if found.simulated:
        console.print("simulated: this corpus was drawn, not recorded.")
    for split in dict.fromkeys(session.split for session in found.sessions):
        console.print(_split_table(found.split(split), coverage))
    console.print(_summary_table(found, coverage))
    for line in _feature_lines(found, features):
        console.print(line, soft_wrap=True)
    console.print(f"\nproblems: {len(problems)}")
    for problem in problems:
        console.print(f"  {_plain(problem)}", soft_wrap=True)


def _label_coverage(sessions: Sequence[Session], problems: list[str]) -> Coverage:
    """Reads all labels; what cannot be read is added to the problems."""
    coverage: Coverage = {}
    for session in sessions:
        for participant in session.participants:
            if participant.labels_path is None:
                continue
            key = (session.split, session.id, participant.role)
            try:
                labels = participant.labels()
            except (ValueError, OSError) as error:
                problems.append(f"{session.split}/{session.id} {key[2]}: {error}")
                continue
            coverage[key] = float(np.mean(np.isfinite(labels)))
            if not coverage[key]:
                problems.append(
                    f"{session.split}/{session.id} {key[2]}: no frame of "
                    f"{participant.labels_path} has a label."
                )
    return coverage


def _split_table(sessions: Sequence[Session], coverage: Coverage) -> Table:
    table = Table(title=_plain(sessions[0].split), title_justify="left")
    for name in ("session", "role", "labels", "feature"):
        table.add_column(name)
    for name in ("dim", "Hz", "frames", "s"):
        table.add_column(name, justify="right")
    for session in sessions:
        title = session.id + (f" {session.language}" if session.language else "")
        for participant in session.participants:
            start = [
                title,
                participant.role,
                _labels_cell(session, participant, coverage),
            ]
            for track in participant.tracks.values():
                table.add_row(*map(_plain, start), *_track_cells(track))
                start = ["", "", ""]
            if not participant.tracks:
                table.add_row(*map(_plain, start), "none")
            title = ""
        table.add_section()
    return table


def _labels_cell(session: Session, participant: Participant, coverage: Coverage) -> str:
    if participant.labels_path is None:
        return "none"
    share = coverage.get((session.split, session.id, participant.role))
    percent = "bad" if share is None else f"{share:.1%}"
    return f"{participant.num_labels} ({percent})"


def _track_cells(track: Track) -> list[str]:
    rate = f"{track.rate:.4g}"
    if track.rate != track.header_rate:
        rate = f"{track.header_rate:.4g} -> {rate}"
    return [
        _plain(track.feature.name),
        str(track.feature.dim),
        rate,
        str(track.num_frames),
        f"{track.num_frames / track.rate:.1f}",
    ]


def _summary_table(found: CorpusIndex, coverage: Coverage) -> Table:
    table = Table(title="summary", title_justify="left")
    table.add_column("split", no_wrap=True)
    for name in ("sessions", "people", "labelled", "coverage", "hours"):
        table.add_column(name, justify="right")
    for split in dict.fromkeys(session.split for session in found.sessions):
        sessions = found.split(split)
        people = [p for session in sessions for p in session.participants]
        shares = [share for key, share in coverage.items() if key[0] == split]
        table.add_row(
            _plain(split),
            str(len(sessions)),
            str(len(people)),
            str(len(shares)),
            f"{np.mean(shares):.1%}" if shares else "-",
            f"{sum(session.duration for session in sessions) / 3600:.2f}",
        )
    return table


def _feature_lines(
    found: CorpusIndex, features: Sequence[FeatureConfig]
) -> Iterator[str]:
    """Says for each split how many of its people have which feature."""
    for split in dict.fromkeys(session.split for session in found.sessions):
        people = [p for session in found.split(split) for p in session.participants]
        counts = (
            f"{feature.name} {sum(feature.name in p.tracks for p in people)}"
            for feature in features
        )
        yield _plain(f"{split}: {', '.join(counts)} of {len(people)} people")


def _plain(text: str) -> str:
    """Makes names from disk harmless for a terminal."""
    return "".join(c if c.isprintable() or c == "\n" else "?" for c in text)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
