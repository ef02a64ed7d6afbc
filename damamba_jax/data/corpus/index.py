"""Finds the sessions of a corpus: who took part, which streams and labels there are.

`index` reads names and headers, and counts the lines of label files and of ASCII
streams. No sample is read before a `Track` is opened. `CorpusIndex.problems` lists
everything that is missing or odd; each line names session, role and file.
"""

import dataclasses
import functools
import itertools
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from damamba_jax.config.layout import LayoutConfig
from damamba_jax.config.sections import FeatureConfig
from damamba_jax.data.corpus import patterns
from damamba_jax.data.corpus.finder import Finder
from damamba_jax.data.corpus.found import Found, SplitFiles
from damamba_jax.data.corpus.identities import name_people
from damamba_jax.data.corpus.label_source import Scale
from damamba_jax.data.corpus.releases import (
    RELEASES,
    SIMULATED_FILE,
    Release,
    custom_release,
    find_folders,
)
from damamba_jax.data.corpus.session_builder import SplitBuilder
from damamba_jax.data.corpus.sessions import CorpusIndex, Session
from damamba_jax.errors import CorpusError
from damamba_jax.schema.release import RELEASED_FEATURES


def index(
    root: str | os.PathLike,
    *,
    features: Sequence[FeatureConfig],
    labels_root: str | os.PathLike = "",
    layout: LayoutConfig | None = None,
    scale: Scale | None = None,
    cache_dir: str | os.PathLike = "",
    strict: bool = True,
    sessions: Sequence[str] = (),
    with_labels: bool = True,
    exclude: Sequence[str] = (),
    skip_damaged: bool = False,
) -> CorpusIndex:
    """Finds all sessions below `root`.

    Args:
      root: folder of one corpus, or a folder that holds several.
      features: streams and tables to look for.
      labels_root: the folder of the labels, if they do not lie beside the features. A
        session without labels in this folder has those that lie beside its features.
      layout: the layout of a custom corpus; `None` recognises the released ones.
      scale: range or classes, and delay, of the annotations. Only released corpora with
        such annotations are read. `None` reads all, each with its first annotation.
      cache_dir: the folder that keeps the contents of tables; empty keeps nothing.
      strict: whether a malformed stream, or one of another width than its feature, is
        an error. Otherwise it is a problem, and the width on disk counts.
      sessions: names of the sessions that are looked for; none means all sessions.
      with_labels: whether annotations are looked for, and reported if they are missing.
      exclude: names or patterns of files and folders, below a root, to leave out.
      skip_damaged: whether damaged files are left out; all text is read to find them.

    Raises:
      CorpusError: if a root is missing, empty or holds no known corpus.
      DataFormatError: for a malformed table of people, and for a malformed stream or
        one of another width, if `strict` is set and `skip_damaged` is not.
    """
    folder, problems = _check_folder(root, "data.root"), list[str]()
    label_folder = _check_folder(labels_root or root, "data.labels_root")
    releases, unread = _choose_releases(scale if with_labels else None)
    if layout is not None:
        releases, unread = (custom_release(layout, features),), frozenset()
    _report_unread(folder, unread, problems)
    search = _Search(
        finder=Finder(exclude, problems), root=folder, features=features,
        label_root=label_folder if labels_root else None, with_labels=with_labels,
        sessions=tuple(sessions), make_builder=functools.partial(
            SplitBuilder, features=features,
            references=() if layout else _others(features), cache_dir=cache_dir,
            columns={}, strict=strict, skip_damaged=skip_damaged,
        ),
    )  # fmt: skip
    for release in releases:
        search.add(release, scale or Scale(classes=release.classes))
    if not search.built:
        raise _no_corpus(folder, search.searched, problems)
    # The roles of a release are seats.
    if with_labels and layout is not None:
        search.name_people(layout)
    return search.finish(is_release=layout is None, without=unread)


@dataclasses.dataclass(kw_only=True)
class _Search:
    """Looks for the sessions of releases, and gathers what it finds.

    Args:
      finder: finds files.
      root: the resolved folder of the features.
      label_root: the resolved folder of the labels; `None` if they lie beside the
        features.
      features: streams and tables to look for.
      sessions: names of the sessions that are looked for; none means all sessions.
      with_labels: whether annotations are looked for.
      make_builder: makes the builder of a split from its files and their `scale`.
    """

    finder: Finder
    root: Path
    label_root: Path | None
    features: Sequence[FeatureConfig]
    sessions: tuple[str, ...]
    with_labels: bool
    make_builder: Callable[..., SplitBuilder]
    built: list[Session] = dataclasses.field(default_factory=list)
    searched: dict[str, str] = dataclasses.field(default_factory=dict)
    damaged: list[str] = dataclasses.field(default_factory=list)

    def add(self, release: Release, scale: Scale) -> None:
        """Looks for the sessions of one release.

        Args:
          release: the release.
          scale: range or classes, and delay, of its annotations.
        """
        problems = self.finder.problems
        folders = find_folders(self.root, release, problems)
        trees = list(folders)
        if self.label_root is not None:
            trees = [*find_folders(self.label_root, release, problems), *trees]
        for split in release.layouts[0].splits:
            name = f"{release.layouts[0].name}/{split}"
            self.searched[name] = _expectation(folders, release, split)
            known = {"split": (split,), "role": release.layouts[0].roles}
            if self.sessions:
                known["session"] = self.sessions
            files = _find_split(
                release,
                known,
                self.features,
                folders,
                trees if self.with_labels else None,
                self.finder,
            )
            if files is not None:
                builder = self.make_builder(files, scale=scale)
                self.built += builder.build()
                problems += builder.problems()
                self.damaged += builder.left_out

    def name_people(self, layout: LayoutConfig) -> None:
        """Finds out who sat in which seat, and adds the names to the sessions."""
        problems, pattern = self.finder.problems, layout.people
        tables = list(self.finder.files(self.root, pattern, {})) if pattern else []
        if pattern and not tables:
            problems.append(f"`data.layout.people`: no table {self.root / pattern}.")
        table = tables[0].path if tables else None
        self.built = name_people(self.built, table, problems)

    def finish(self, *, is_release: bool, without: frozenset[str]) -> CorpusIndex:
        """Reports the files that nothing reads, and makes the index of the sessions.

        Args:
          is_release: as in `Finder.report_rest`.
          without: as in `Finder.report_rest`.
        """
        if self.label_root is not None:
            _report_no_labels(self.built, self.label_root, self.finder.problems)
        left_out = self._left_out()
        # If only some sessions were asked for, the other files do not matter.
        if self.with_labels and not self.sessions:
            for tree in dict.fromkeys([self.root, self.label_root or self.root]):
                self.finder.report_rest(tree, is_release=is_release, without=without)
        marked = (self.root, self.root.parent)
        return CorpusIndex(
            root=self.root,
            simulated=any((folder / SIMULATED_FILE).is_file() for folder in marked),
            sessions=tuple(self.built),
            problems=tuple(dict.fromkeys(self.finder.problems)),
            searched=self.searched,
            left_out=tuple(left_out),
        )

    def _left_out(self) -> list[str]:
        """Returns lines about the files that the configuration leaves out."""
        found = self.finder.left_out()
        if self.damaged:
            number, first = len(self.damaged), self.damaged[0]
            found.append(f"`data.on_error` = 'skip' leaves out {number}: {first}")
        return found


def _report_no_labels(
    sessions: Sequence[Session], label_folder: Path, problems: list[str]
) -> None:
    """Adds a problem if the folder of the labels holds no label of any session."""
    paths = [p.labels_path for s in sessions for p in s.participants]
    if not any(path and path.is_relative_to(label_folder) for path in paths):
        problems.append(
            f"{label_folder}: no label file of any session was found there."
        )


def _find_split(
    release: Release,
    known: Mapping[str, Sequence[str]],
    features: Sequence[FeatureConfig],
    folders: Sequence[Path],
    label_folders: Sequence[Path] | None,
    finder: Finder,
) -> SplitFiles | None:
    """Finds the files of a split in the first folder and tree that has features."""
    wanted = {stem.lower() for feature in features for stem in feature.stems}
    for folder in folders:
        for layout in release.layouts:

            def look(pattern: str, tree: Path = folder) -> Iterator[patterns.Match]:
                return finder.files(tree, pattern, known)

            streams: dict[str, dict[str, dict[str, Path]]] = {}
            if any(feature.table is None for feature in features):
                for match in look(layout.feature_path):
                    roles = streams.setdefault(match.fields["session"], {})
                    stems = roles.setdefault(match.fields["role"], {})
                    stems.setdefault(match.fields["stem"].lower(), match.path)
                    if release.is_custom and match.fields["stem"].lower() not in wanted:
                        finder.forget(match.path)
            tables = {
                feature.name: _find_tables(feature, look(_table_path(feature, layout)))
                for feature in features
                if feature.table is not None
            }
            if not streams and not any(tables.values()):
                continue
            labels = Found()
            trees = label_folders or ()
            for tree, other in itertools.product(trees, release.layouts):
                labels.add(look(other.label_path, tree))
            return SplitFiles(
                layout=layout,
                split=known["split"][0],
                streams=streams,
                tables=tables,
                labels=labels,
                turns=Found(look(layout.turns.files) if layout.turns else ()),
                seats=_find_seats(release, folder, known, streams, labels, finder),
                roots=tuple(dict.fromkeys([folder, *trees])),
                labels_expected=label_folders is not None,
            )
    return None


def _table_path(feature: FeatureConfig, layout: LayoutConfig) -> str:
    """Returns the pattern of the names of a feature's tables."""
    own = feature.table.files if feature.table else ""
    return own or layout.feature_path


def _find_tables(feature: FeatureConfig, matches: Iterable[patterns.Match]) -> Found:
    """Returns the tables of a feature; the first of its stems that has any counts."""
    order = [stem.lower() for stem in feature.stems]
    stems: dict[str, list[patterns.Match]] = {}
    for match in matches:
        stem = match.fields.get("stem", "").lower()
        plain = {k: v for k, v in match.fields.items() if k != "stem"}
        stems.setdefault(stem, []).append(patterns.Match(match.path, plain))
    found = Found(stems.get("", ()))
    for stem in order:
        found.add(stems.get(stem, ()))
    return found


def _find_seats(
    release: Release,
    folder: Path,
    known: Mapping[str, Sequence[str]],
    streams: Mapping[str, Mapping[str, Mapping[str, Path]]],
    labels: Found,
    finder: Finder,
) -> dict[str, frozenset[str]] | None:
    """Finds the seats that were taken, by recordings, audio streams and labels.

    A session is left out if nothing tells which seats were taken, for example because
    only visual streams were downloaded.
    """
    if not release.audio_paths:
        return None
    taken: dict[str, set[str]] = {session: set() for session in streams}
    for pattern in release.audio_paths:
        for match in finder.files(folder, pattern, known):
            taken.setdefault(match.fields["session"], set()).add(match.fields["role"])
    for session, roles in streams.items():
        taken[session].update(r for r in known["role"] if labels.of(session, r))
        for role, stems in roles.items():
            if any(stem.startswith("audio.") for stem in stems):
                taken[session].add(role)
        if not taken[session]:
            finder.problems.append(
                f"{release.name}/{known['split'][0]}/{session}: neither audio nor "
                "labels tell which seats were taken, so that all seats with streams "
                "count."
            )
    return {session: frozenset(roles) for session, roles in taken.items() if roles}


def _check_folder(path: str | os.PathLike, name: str) -> Path:
    folder = Path(path).expanduser()
    if not os.fspath(path) or not folder.is_dir():
        what = "a file" if folder.is_file() else "nothing there"
        raise CorpusError(
            f"`{name}`: expected a folder with recordings, got {os.fspath(path)!r}: "
            f"{what}."
        )
    return folder.resolve()


def _others(features: Sequence[FeatureConfig]) -> list[FeatureConfig]:
    wanted = {feature.name for feature in features}
    return [f for name, f in RELEASED_FEATURES.items() if name not in wanted]


def _choose_releases(
    scale: Scale | None,
) -> tuple[tuple[Release, ...], frozenset[str]]:
    """Returns the releases with such an annotation, and the folders of the others."""
    if scale is None:
        return RELEASES, frozenset()
    chosen = [release.with_annotation(scale.classes) for release in RELEASES]
    unread = {
        name
        for release, found in zip(RELEASES, chosen, strict=True)
        for name in release.folders
        if found is None
    }
    return tuple(r for r in chosen if r is not None), frozenset(unread)


def _report_unread(folder: Path, unread: Collection[str], problems: list[str]) -> None:
    """Adds a problem for each corpus whose annotations are of another kind.

    Raises:
      CorpusError: if the folder itself is such a corpus.
    """
    fix = "set `data.classes`, or describe the corpus with `data.layout`"
    if folder.name.lower() in unread:
        raise CorpusError(
            f"`data.root`: expected a corpus with annotations of the configured kind, "
            f"got {folder}, whose annotations are of another kind; {fix}."
        )
    for path in sorted(folder.iterdir()):
        if path.name.lower() in unread and path.is_dir():
            problems.append(
                f"{path}: this corpus is not read, since its annotations are of "
                f"another kind; {fix}."
            )


def _expectation(folders: Sequence[Path], release: Release, split: str) -> str:
    trees = " or ".join(
        layout.feature_path.replace("{split}", split) for layout in release.layouts
    )
    return f"{trees} below {' or '.join(map(str, folders))}"


def _no_corpus(
    folder: Path, searched: dict[str, str], problems: Sequence[str]
) -> CorpusError:
    names = sorted(path.name for path in folder.iterdir())
    found = ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")
    lines = "".join(f"\n  {name}: {where}" for name, where in searched.items())
    hints = "".join(f"\n  {problem}" for problem in problems[:5])
    return CorpusError(
        f"`data.root`: expected a corpus of a known layout, got {folder} with "
        f"{found or 'nothing in it'}. Looked for{lines}\nFor another corpus, set "
        f"`data.layout`.{hints and chr(10) + 'Problems:' + hints}"
    )
