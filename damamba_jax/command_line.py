"""What the commands share: finding a configuration, showing logs, naming errors."""

import logging
from collections.abc import Sequence
from pathlib import Path

from absl import logging as absl_logging
from rich.console import Console
from rich.logging import RichHandler

import damamba_jax.configs
from damamba_jax.checkpoint import CheckpointError
from damamba_jax.config import ConfigError
from damamba_jax.data.corpora import CorpusError
from damamba_jax.data.headers import DataFormatError
from damamba_jax.meter import TrainingError
from damamba_jax.workdir import WorkdirError

# Their messages say what to change; a traceback would only hide it.
USER_ERRORS = (
    CheckpointError,
    ConfigError,
    CorpusError,
    DataFormatError,
    TrainingError,
    WorkdirError,
)


def show_log() -> None:
    """Shows this project's messages, and other libraries' warnings."""
    absl_logging.set_verbosity(absl_logging.WARNING)
    handler = RichHandler(
        console=Console(stderr=True), show_time=False, show_path=False, markup=False
    )
    log = logging.getLogger("damamba_jax")
    log.setLevel(logging.INFO)
    log.handlers, log.propagate = [handler], False


def find_config_file(argv: Sequence[str]) -> list[str]:
    """Lets `--config=configs/NAME.py` work in any folder.

    A file of that path in the working folder comes first; else the packaged
    configuration of that name is taken.
    """
    found = list(argv)
    for i, argument in enumerate(argv):
        flag, _, value = argument.partition("=")
        path, colon, preset = value.partition(":")
        packaged = Path(damamba_jax.configs.__file__).parent / Path(path).name
        if flag in ("--config", "-config") and not Path(path).exists():
            if packaged.is_file() and Path(path).parent.name in ("configs", ""):
                found[i] = f"{flag}={packaged}{colon}{preset}"
    return found
