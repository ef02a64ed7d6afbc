"""Finds out whether a folder is one of the released corpora."""

import itertools
from pathlib import Path

from damamba_jax.data.corpus import patterns
from damamba_jax.data.corpus.releases import RELEASES, find_folders
from damamba_jax.data.formats.stream_header import read_header
from damamba_jax.errors import DataFormatError
from damamba_jax.schema.release import RELEASED_FEATURES

# At most so many headers are read to find the widths of features.
_MAX_HEADERS = 200


def find_release(root: Path) -> tuple[str, dict[str, int]] | None:
    """Finds the released corpus that a folder holds, and the widths of its features.

    Returns:
      The name of the release and the number of columns of each feature that was seen;
      `None` if the folder holds no released corpus.
    """
    for release in RELEASES:
        layouts = release.layouts
        for folder in find_folders(root, release, []):
            known = {"split": layouts[0].splits, "role": layouts[0].roles}
            for layout in layouts:
                found = patterns.find(
                    folder, layout.feature_path, known=known, problems=[]
                )
                dims = _widths(list(itertools.islice(found, _MAX_HEADERS)))
                if dims:
                    return release.name, dims
    return None


def _widths(matches: list[patterns.Match]) -> dict[str, int]:
    names = {
        stem.lower(): name
        for name, feature in RELEASED_FEATURES.items()
        for stem in feature.stems
    }
    dims: dict[str, int] = {}
    for match in matches:
        name = names.get(match.fields["stem"].lower())
        if name is None or name in dims or not match.path.is_file():
            continue
        try:
            dims[name] = read_header(match.path).dim
        except (DataFormatError, OSError):
            continue
    return dims
