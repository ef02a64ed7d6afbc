"""Suffixes of the files that can be read. The suffix of a file decides who reads it."""

STREAM = ".stream"
ANNOTATION = ".annotation"
ELAN = ".eaf"
TEXTS = (".csv", ".tsv", ".txt")
ARRAYS = (".npy", ".npz")
PARQUETS = (".parquet", ".pq")
# OpenPose writes a file for each frame; no other JSON holds a table.
JSON = ".json"
KEYPOINTS = "_keypoints.json"

TABLES = (*TEXTS, *ARRAYS, *PARQUETS, JSON)
READABLE = (STREAM, ANNOTATION, ELAN, *TEXTS, *ARRAYS, *PARQUETS, KEYPOINTS)

# The names of texts that lie beside recordings and describe them begin like this.
_ABOUT = ("readme", "license", "licence", "changelog", "requirements")


def is_readable(name: str, suffixes: tuple[str, ...] = READABLE) -> bool:
    """Says whether a file has a suffix that is read, and is no text about the corpus.

    Args:
      name: the name of a file, without its folders.
      suffixes: the suffixes that count.
    """
    lower = name.lower()
    return lower.endswith(suffixes) and not lower.startswith(_ABOUT)
