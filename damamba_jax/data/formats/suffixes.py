"""Suffixes of the files that can be read: their ends say which reader reads them."""

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

# Texts that lie beside recordings and tell about them.
_ABOUT = ("readme", "license", "licence", "changelog", "requirements")


def is_readable(name: str, suffixes: tuple[str, ...] = READABLE) -> bool:
    """Whether a file's name ends as one that is read, and not as a text about it.

    Args:
      name: the name of a file, without its folders.
      suffixes: the ends that count.
    """
    lower = name.lower()
    return lower.endswith(suffixes) and not lower.startswith(_ABOUT)
