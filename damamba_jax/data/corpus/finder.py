"""Finds the files of a corpus, and remembers which ones were found."""

import fnmatch
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from damamba_jax.data.corpus import patterns
from damamba_jax.data.corpus.look import look
from damamba_jax.data.corpus.releases import LANGUAGE_FILE
from damamba_jax.data.formats.suffixes import READABLE, STREAM, is_readable


class Finder:
    """Finds files by patterns, except those that the configuration leaves out.

    Args:
      exclude: names or patterns of files and folders, below a root, to leave out.
      problems: gets a line for each link or folder that cannot be followed.
    """

    def __init__(self, exclude: Sequence[str], problems: list[str]):
        self.problems = problems
        self._exclude = {pattern: pattern.strip("/").casefold() for pattern in exclude}
        self._used: set[str] = set()
        self._left_out: dict[Path, None] = {}
        self._found: set[Path] = set()

    def files(
        self, folder: Path, pattern: str, known: Mapping[str, Sequence[str]]
    ) -> Iterator[patterns.Match]:
        """Yields regular files below a folder; see `patterns.find`."""
        for match in patterns.find(
            folder, pattern, known=known, problems=self.problems
        ):
            if match.path.is_file() and not self._is_excluded(match.path, folder):
                self._found.add(match.path)
                yield match

    def forget(self, path: Path) -> None:
        """Forgets a file that was found, because nothing reads it."""
        self._found.discard(path)

    def left_out(self) -> list[str]:
        """Says in a line, if there is anything to say, what `data.exclude` leaves out.

        An entry of `data.exclude` that fits no file is added to the problems.
        """
        for pattern in self._exclude.keys() - self._used:
            self.problems.append(
                f"`data.exclude`: {pattern!r} fits no file of the corpus."
            )
        if not self._left_out:
            return []
        first, *_ = self._left_out
        return [f"`data.exclude` leaves out {_files(len(self._left_out))}: {first}."]

    def report_rest(
        self, folder: Path, *, is_release: bool, without: Collection[str] = ()
    ) -> None:
        """Adds files below a folder that no pattern has found to the problems.

        Args:
          folder: the root of a corpus.
          is_release: whether the corpus is a released one, which holds many files that
            nothing reads. Its streams are reported only if nothing was found in
            their folder, and its other files are never reported.
          without: names of folders, in lower case, which are reported elsewhere.
        """
        seen = look(folder)
        for parts in seen.odd:
            self.problems.append(
                f"{folder.joinpath(*parts)}: this is neither a file nor a folder, but "
                "a pipe or a device, and was passed over."
            )
        # No pattern is meant to read other files, such as videos.
        suffixes = (STREAM,) if is_release else READABLE
        known = {path.parent for path in self._found} if is_release else set()
        rest = [
            path
            for parts in seen.files
            if (path := folder.joinpath(*parts)) not in self._found
            and is_readable(path.name, suffixes)
            and path.name != LANGUAGE_FILE
            and path.parent not in known
            and not {part.lower() for part in parts}.intersection(without)
            and not self._is_excluded(path, folder)
        ]
        if rest:
            kinds = Counter(path.suffix.lower() for path in rest)
            counts = ", ".join(f"{number} {kind}" for kind, number in kinds.items())
            self.problems.append(
                f"{_files(len(rest))} that no pattern reads ({counts}), such as "
                f"{rest[0]}."
            )

    def _is_excluded(self, path: Path, folder: Path) -> bool:
        parts = path.relative_to(folder).parts
        names = ["/".join(parts[: i + 1]).casefold() for i in range(len(parts))]
        # The samples of a stream lie beside its header.
        names.append(f"{names[-1]}~")
        for pattern, folded in self._exclude.items():
            if any(fnmatch.fnmatchcase(name, folded) for name in names):
                self._used.add(pattern)
                self._left_out[path] = None
                return True
        return False


def _files(number: int) -> str:
    return "1 file" if number == 1 else f"{number} files"
