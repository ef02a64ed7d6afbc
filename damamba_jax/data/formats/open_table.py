"""Opens tables of any kind by the suffix of their names; see `tables.py`."""

from pathlib import Path

from damamba_jax.data.formats import suffixes
from damamba_jax.data.formats.tables import Table, TextOptions
from damamba_jax.errors import format_error


def open_table(path: Path, options: TextOptions | None = None) -> Table:
    """Opens a table by the suffix of its name; no row is read yet.

    Raises:
      DataFormatError: for a file of another kind, or one without columns.
    """
    suffix = path.suffix.lower()
    if suffix in suffixes.ARRAYS:
        from damamba_jax.data.formats.array_tables import ArrayTable

        return ArrayTable(path)
    if suffix in suffixes.PARQUETS:
        from damamba_jax.data.formats.arrow_tables import ParquetTable

        return ParquetTable(path)
    if suffix == suffixes.JSON:
        from damamba_jax.data.formats.openpose import OpenPoseTable

        return OpenPoseTable(path)
    if suffix in suffixes.TEXTS:
        from damamba_jax.data.formats.arrow_tables import CsvTable

        return CsvTable(path, options or TextOptions())
    known = ", ".join(suffixes.TABLES)
    raise format_error(path, "suffix", expected=f"one of {known}", got=suffix)
