"""Trains a system; the same command resumes an interrupted run by itself.

    damamba train --config=configs/noxi.py --config.data.root=DIR

Without `data.root`, the command trains on the simulated corpus, and marks all results
as simulated. At the end, the run is evaluated: the workdir gets `results.md`,
`results.json` and `pictures/`.

SIGTERM, SIGINT (Ctrl-C), SIGHUP, SIGUSR1 and SIGUSR2 save the state and end the run
with exit status 128 + the signal's number. Many clusters send SIGUSR1 some minutes
before they end a job. With `--on_warning=save` the run then saves its state and goes
on.
"""

import argparse
import functools
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from damamba_jax.runtime import stop
from damamba_jax.runtime.command import run, show_log
from damamba_jax.runtime.parser import Parser, one_of, whole


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    parser = make_parser()
    options = parser.parse(argv)
    warnings = []
    if options.on_warning == "save":
        if options.num_processes > 1:
            parser.error(
                "`--on_warning`: expected stop for a run of several processes, which "
                "cannot save on a signal, got 'save'"
            )
        # Windows has no SIGUSR1.
        warnings = [s for s in stop.SIGNALS if s.name == "SIGUSR1"]
    run(functools.partial(_train, options), console=show_log(), warnings=warnings)
    return 0


def _train(
    options: argparse.Namespace, stop_request: stop.StopRequest, console: Console
) -> None:
    # These imports take seconds; `--help` and a wrong flag do not wait for them.
    import jax

    from damamba_jax.config.tree import from_config_dict
    from damamba_jax.runtime import mesh
    from damamba_jax.runtime.programs import keep_programs
    from damamba_jax.studies.runs import train

    keep_programs()
    mesh.join_processes(
        options.coordinator,
        num_processes=options.num_processes,
        process_id=options.process_id,
    )
    # Only the first process prints.
    console.quiet = jax.process_index() > 0
    config = from_config_dict(options.config)
    directory = Path(options.workdir or Path("runs") / config.name)
    train(config, directory, stop=stop_request, console=console)


def make_parser() -> Parser:
    """Makes the parser of this command."""
    parser = Parser("train", __doc__)
    parser.add_config(required=True)
    add = parser.add_argument
    add(
        "--workdir", default="", metavar="DIR",
        help="folder of the run; default: runs/NAME, with the configuration's name",
    )  # fmt: skip
    add(
        "--coordinator", default="", metavar="HOST:PORT",
        help="address at which the first of several processes listens; all processes "
        "run the same command with the same workdir. A signal ends such a run at once, "
        "and the same command resumes it from its last checkpoint",
    )  # fmt: skip
    add(
        "--num_processes", type=whole(1), default=1,
        help="number of processes of the run; default: 1",
    )  # fmt: skip
    add(
        "--process_id", type=whole(0), default=0,
        help="number of this process, from 0 on; default: 0",
    )  # fmt: skip
    add(
        "--on_warning", type=one_of("stop", "save"), default="stop",
        metavar="stop|save",
        help="what SIGUSR1 does: save and stop (default), or save and go on",
    )  # fmt: skip
    return parser


if __name__ == "__main__":
    sys.exit(main())
