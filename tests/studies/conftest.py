"""A command whose runs are not trained but finished at once."""

from pathlib import Path

import pytest

from damamba_jax.data.corpus.sessions import CorpusIndex
from damamba_jax.studies import command, engine
from tests.studies.finished import finish


@pytest.fixture
def quiet(monkeypatch):
    """Leaves the log and the compilation cache of the test's process alone."""
    for name in ("show_log", "mark_log"):
        monkeypatch.setattr(command, name, lambda argument: None)


@pytest.fixture
def drawn(monkeypatch):
    """A drawn corpus that is nowhere."""
    index = CorpusIndex(
        root=Path("nowhere"), simulated=True, sessions=(), problems=(), searched={}
    )
    monkeypatch.setattr(engine, "open_corpus", lambda data: index)
    return index


@pytest.fixture
def trained(monkeypatch, quiet, drawn):
    """Finishes runs as `noise` says, by the title's row; lists what was asked for."""

    class Trained:
        noise, oracles, asked = {}, {}, []

    def train_all(chosen, *, title, jobs, stop, console):
        for run in chosen:
            Trained.asked.append((run.title, jobs))
            finish(run, Trained.noise[run.title.split(",")[0]], Trained.oracles)

    Trained.asked = []
    monkeypatch.setattr(engine, "train_all", train_all)
    return Trained
