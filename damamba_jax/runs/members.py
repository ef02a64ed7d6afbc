"""Members of the model of a cross-validation: the runs whose mean is the model."""

from collections.abc import Sequence
from pathlib import Path

from damamba_jax.errors import CheckpointError
from damamba_jax.files import read_json, write_json
from damamba_jax.runs.workdir import CONFIG, MEMBERS

# Every cross-validation has fewer runs than this.
_MOST = 10_000


def write_members(folder: Path, workdirs: Sequence[Path]) -> None:
    """Writes which runs are the model of a cross-validation.

    Args:
      folder: folder of the cross-validation.
      workdirs: workdirs of these runs, below the folder; empty means no model.
    """
    if not workdirs:
        (folder / MEMBERS).unlink(missing_ok=True)
        return
    names = [workdir.relative_to(folder).as_posix() for workdir in workdirs]
    write_json(folder / MEMBERS, names)


def find_members(folder: Path) -> tuple[Path, ...]:
    """Lists the workdirs whose mean is the model of a folder.

    Args:
      folder: the workdir of a run, which is the only member of its model, or the folder
        of a cross-validation.

    Raises:
      CheckpointError: if the list of a cross-validation is damaged, or names a folder
        that is not below `folder`.
    """
    path = folder / MEMBERS
    if (folder / CONFIG).is_file() or not path.is_file():
        return (folder,)
    try:
        names = read_json(path)
    except ValueError as error:
        raise CheckpointError(
            f"{path}: expected a list of folders, got {error}. Run the "
            "cross-validation again; nothing is trained twice."
        ) from error
    root = folder.resolve()
    if (
        not isinstance(names, list)
        or not 0 < len(names) <= _MOST
        or not all(isinstance(name, str) and _is_below(root, name) for name in names)
    ):
        raise CheckpointError(
            f"{path}: expected a list of folders below {folder}, got something else. "
            "Run the cross-validation again; nothing is trained twice."
        )
    return tuple(folder / name for name in names)


def _is_below(root: Path, name: str) -> bool:
    try:
        return (root / name).resolve().is_relative_to(root)
    except (OSError, ValueError, RuntimeError):
        return False
