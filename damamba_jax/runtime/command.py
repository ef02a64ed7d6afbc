"""Parts that all commands share: configurations, logs, errors and exit status."""

import importlib.util
import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from absl import flags
from absl import logging as absl_logging
from ml_collections import ConfigDict
from rich.console import Console
from rich.logging import RichHandler

from damamba_jax.config.tree import check_field
from damamba_jax.errors import ConfigError, UserError
from damamba_jax.runtime.stop import Stopped, StopRequest

# Their messages say what to change; a traceback would only hide it.
USER_ERRORS = (UserError, OSError)


def run(
    body: Callable[[StopRequest, Console], None], *, console: Console | None = None
) -> None:
    """Runs the body of a command; signals and users' errors become its exit status.

    Args:
      body: called with the watch for signals and the console.
      console: where progress and tables go; standard output if `None`.
    """
    console = console or Console()
    with StopRequest() as stop:
        try:
            body(stop, console)
        except Stopped as signal:
            console.print(f"{signal}: stopped; the same command resumes.")
            sys.exit(stop.exit_status)
        except USER_ERRORS as error:
            # To standard error, with exit status 1.
            sys.exit(f"error: {error}")


def show_log(level: int = logging.INFO) -> None:
    """Shows this project's messages, and other libraries' warnings.

    Args:
      level: of this project's; `logging.WARNING` where several runs would say the same.
    """
    absl_logging.set_verbosity(absl_logging.WARNING)
    # Orbax warns of what was asked for: a checkpoint that is only read.
    absl_logging.get_absl_logger().addFilter(
        lambda record: "read only" not in record.getMessage()
    )
    handler = RichHandler(
        console=Console(stderr=True), show_time=False, show_path=False, markup=False
    )
    log = logging.getLogger("damamba_jax")
    log.setLevel(level)
    log.handlers, log.propagate = [handler], False


def mark_log(mark: str) -> None:
    """Puts a mark in front of every later message of this project."""
    for handler in logging.getLogger("damamba_jax").handlers:
        handler.setFormatter(logging.Formatter(f"{mark}%(message)s"))


def find_config_file(argv: Sequence[str]) -> list[str]:
    """Lets `--config=configs/NAME.py` work in any folder.

    A file of that path in the working folder comes first; else the packaged
    configuration of that name is taken. `--config FILE` becomes `--config=FILE`.
    """
    found: list[str] = []
    for argument in argv:
        if found and found[-1] in ("--config", "-config"):
            found[-1] = argument = f"--config={argument}"
        else:
            found.append(argument)
        flag, _, value = argument.partition("=")
        path, colon, preset = value.partition(":")
        packaged = packaged_configs() / Path(path).name
        if flag in ("--config", "-config") and not Path(path).exists():
            if packaged.is_file() and Path(path).parent.name in ("configs", ""):
                found[-1] = f"{flag}={packaged}{colon}{preset}"
    return found


def packaged_configs() -> Path:
    """Folder of the configurations that come with the package."""
    return Path(importlib.util.find_spec("damamba_jax.configs").origin).parent


def parse_flags(argv: Sequence[str]) -> list[str]:
    """Parses absl's flags; what is wrong with `--config` is said in one line."""
    argv = find_config_file(argv)
    try:
        for argument in argv:
            flag, equals, value = argument.partition("=")
            if flag in ("--config", "-config") and equals:
                config = load_config(value)
                for override in argv:
                    if override.startswith(("--config.", "-config.")):
                        path = override.partition("=")[0].partition(".")[2]
                        check_field(config, path)
        return flags.FLAGS(argv)
    except flags.Error as error:
        sys.exit(f"error: {error}\nAll flags: --help.")
    except USER_ERRORS as error:
        sys.exit(f"error: {error}")


def parse_integers(flag: str, text: str) -> list[int]:
    """Reads numbers with commas between them, each once.

    Raises:
      ConfigError: for anything else.
    """
    try:
        return list(dict.fromkeys(map(int, text.split(","))))
    except ValueError:
        raise ConfigError(
            f"`{flag}`: expected whole numbers with commas between, got {text!r}."
        ) from None


def load_config(path: str) -> ConfigDict:
    """Runs `get_config` of a configuration file; `FILE.py:preset` passes the preset.

    Raises:
      ConfigError: if there is no such file or no such preset.
    """
    path, colon, preset = path.partition(":")
    if not Path(path).is_file():
        packaged = packaged_configs().glob("[!_]*.py")
        raise ConfigError(
            f"`--config`: expected a file, got {path!r}. Packaged ones, for any "
            f"folder: {', '.join(sorted(f'configs/{p.name}' for p in packaged))}."
        )
    spec = importlib.util.spec_from_file_location("config_file", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    try:
        return module.get_config(*[preset] * bool(colon))
    except ValueError as error:
        raise ConfigError(str(error)) from error
