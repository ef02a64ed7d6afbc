"""One hostile value in a corpus: no traceback in any command, and it is named.

The inventory reads every kind. Some are trained on and evaluated, and all of them with
`DAMAMBA_RELIABILITY=all python -m pytest tests/reliability/test_hostile_values.py`.
"""

import io
import logging
import os

import hostile
import jax
import pytest
from rich.console import Console

from damamba_jax import inventory
from damamba_jax.data.formats import headers
from damamba_jax.errors import UserError, printable
from damamba_jax.reporting import timelines
from damamba_jax.runs.evaluations import Settings
from damamba_jax.runtime.stop import StopRequest
from damamba_jax.studies.evaluations import evaluate_runs
from damamba_jax.studies.predictions import predict_recordings
from damamba_jax.studies.runs import train


@pytest.fixture(scope="session")
def compiled(tmp_path_factory):
    return tmp_path_factory.mktemp("compiled")


@pytest.fixture(autouse=True)
def as_in_a_command(kind, compiled, monkeypatch):
    """Whole commands run as they do for their users; threads share these settings."""
    settings = {
        "jax_numpy_dtype_promotion": "standard",
        "jax_numpy_rank_promotion": "allow",
        # All kinds share their compiled programs.
        "jax_compilation_cache_dir": str(compiled),
        "jax_persistent_cache_min_compile_time_secs": 0.0,
        "jax_persistent_cache_min_entry_size_bytes": 0,
    }
    before = {name: jax.config.values[name] for name in settings}
    for name, value in settings.items():
        jax.config.update(name, value)
    if not kind.startswith("name"):
        # What a value does to pictures is tested on few of them.
        monkeypatch.setattr(timelines, "draw_timeline", lambda *a, **k: None)
        monkeypatch.setattr(timelines, "draw_scatter", lambda *a, **k: None)
    yield
    for name, value in before.items():
        jax.config.update(name, value)


class Said:
    """What a command writes: to its console, its log and as its error."""

    def __init__(self, caplog):
        self._caplog = caplog
        caplog.set_level(logging.INFO, "damamba_jax")

    def of(self, command) -> tuple[str, bool]:
        """The text of a command, and whether it came to its end."""
        self._caplog.clear()
        headers.warn_once.cache_clear()
        out, done = io.StringIO(), False
        console = Console(file=out, width=500)
        try:
            command(console)
            done = True
        except (UserError, OSError) as error:
            out.write(f"{error}")
        except SystemExit as end:
            out.write(f"{end.code}")
        text = printable(out.getvalue() + self._caplog.text)
        return text, done


@pytest.mark.slow
# ml_collections loads files by a deprecated method.
@pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")
@pytest.mark.parametrize("kind", hostile.KINDS)
def test_no_traceback(kind, tmp_path, caplog, capsys):
    change, text = hostile.KINDS[kind]
    root, cache = tmp_path / "corpus", tmp_path / "cache"
    hostile.write_corpus(root)
    change(root)
    said, file = Said(caplog), tmp_path / "config.py"
    file.write_text(hostile.config_text(root, cache))
    config = hostile.make_config(file.read_text())
    listed, _ = said.of(lambda console: inventory.main([f"--config={file}"]))
    # Names from disk are no text for whoever runs the tests.
    listed = printable(listed + capsys.readouterr().out)
    assert text in listed, listed
    if kind not in hostile.TRAINED and os.environ.get("DAMAMBA_RELIABILITY") != "all":
        return
    with StopRequest() as stop:
        trained, done = said.of(
            lambda console: train(config, tmp_path / "run", stop=stop, console=console)
        )
    assert text in trained, trained
    if not done:
        # Whoever wants to go on without the file can.
        file.write_text(hostile.config_text(root, cache, on_error="skip"))
        config = hostile.make_config(file.read_text())
        with StopRequest() as stop:
            trained, done = said.of(
                lambda console: train(
                    config, tmp_path / "run", stop=stop, console=console
                )
            )
        assert text in trained and "leaves out 1" in trained, trained
    assert done and (tmp_path / "run" / "results.json").is_file(), trained
    settings = Settings(workdirs=(str(tmp_path / "run"),), splits=("mine/val",))
    scored, done = said.of(lambda console: evaluate_runs(settings, console=console))
    assert done and "mine/val" in scored, scored
    scores = tmp_path / "scores"
    said.of(
        lambda console: predict_recordings(
            [tmp_path / "run"], root, scores, console=console
        )
    )
    assert [*scores.rglob("scores.csv")]
