"""A workdir belongs to one process and to one configuration."""

import dataclasses
import subprocess
import sys

import pytest
from example import small_config

from damamba_jax.config.tree import from_json
from damamba_jax.errors import CheckpointError, WorkdirError
from damamba_jax.runs import workdir as run_folder


def change(config, section, **fields):
    new = dataclasses.replace(getattr(config, section), **fields)
    return dataclasses.replace(config, **{section: new})


# Says whether another process holds a lock.
LOCKS = """
import filelock, sys
try:
    filelock.FileLock(sys.argv[1], blocking=False).acquire()
except filelock.Timeout:
    print('held')
"""


@pytest.fixture
def started(tmp_path):
    """A workdir whose run has a checkpoint."""
    config = small_config()
    with run_folder.claim(tmp_path, config):
        (tmp_path / "checkpoints" / "last" / "3").mkdir(parents=True)
    return tmp_path, config


def test_one_process_at_a_time(tmp_path):
    config = small_config()
    with run_folder.claim(tmp_path / "new", config):
        with pytest.raises(WorkdirError, match="another process.*--workdir=NEW"):
            with run_folder.claim(tmp_path / "new", config):
                raise AssertionError("two processes hold one workdir")
        # Those beside the first one of the same run do not lock.
        with run_folder.claim(tmp_path / "new", config, write=False):
            assert from_json((tmp_path / "new" / "config.json").read_text()) == config
    with run_folder.claim(tmp_path / "new", config):
        other = subprocess.run(
            [sys.executable, "-c", LOCKS, str(tmp_path / "new" / "lock")], check=True,
            capture_output=True, text=True,
        )  # fmt: skip
        assert other.stdout == "held\n"


def test_another_configuration_is_refused_with_both_ways_on(started):
    path, config = started
    other = change(change(config, "optim", lr=0.5), "model", dim=16)
    for write in (True, False):
        with pytest.raises(WorkdirError) as error:
            with run_folder.claim(path, other, write=write):
                raise AssertionError("a differing configuration was accepted")
        text = str(error.value)
        assert "model.dim: 8 -> 16" in text
        assert "optim.lr: 0.001 -> 0.5" in text
        assert "--workdir=NEW" in text
        assert f"--config.init_from={path}" in text
    assert from_json((path / "config.json").read_text()) == config


@pytest.mark.parametrize(
    ("section", "fields"),
    [
        ("data", {"cache_dir": "elsewhere"}),
        ("data", {"root": "elsewhere", "labels_root": "elsewhere"}),
        ("data", {"num_threads": 7}),
        ("train", {"keep_checkpoints": 5}),
        ("train", {"save_every": 1}),
        ("train", {"tensorboard": True}),
    ],
)
def test_fields_that_change_no_number_may_differ(started, section, fields):
    path, config = started
    other = change(config, section, **fields)
    with run_folder.claim(path, other):
        pass
    assert from_json((path / "config.json").read_text()) == other


def test_before_the_first_checkpoint_nothing_is_bound(tmp_path):
    config = small_config()
    with run_folder.claim(tmp_path, config):
        # What a crash in the first save leaves is no checkpoint.
        (tmp_path / "checkpoints/last/3.orbax-checkpoint-tmp-1").mkdir(parents=True)
    assert run_folder.last_step(tmp_path) == -1
    with run_folder.claim(tmp_path, change(config, "optim", lr=0.5)):
        pass


def test_the_last_step_is_the_highest(started):
    path, _ = started
    (path / "checkpoints" / "last" / "12").mkdir()
    assert run_folder.last_step(path) == 12


def test_a_damaged_configuration_is_named(started):
    path, config = started
    (path / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"config\.json: .*--workdir=NEW"):
        with run_folder.claim(path, config):
            raise AssertionError("a damaged configuration was accepted")


@pytest.mark.parametrize("name", ["x[1]", "[lab] study/run", "what?", "all*"])
def test_a_path_whose_checkpoints_could_not_be_read_is_refused(tmp_path, name):
    with pytest.raises(WorkdirError, match=r"without \*, \? and \[.*--workdir=NEW"):
        with run_folder.claim(tmp_path / name, small_config()):
            raise AssertionError("a run would lose its checkpoints")
    assert list(tmp_path.iterdir()) == []


def test_a_run_goes_on_with_its_own_corpus_alone(started):
    path, _ = started
    run_folder.check_corpus(path, {"a/1": "x"})  # of a version before: nothing to hold
    assert not (path / "corpus.json").exists()
    new = path / "new"
    new.mkdir()
    run_folder.check_corpus(new, {"a/1": "x", "a/2": "y"})
    run_folder.check_corpus(new, {"a/1": "z"})  # nothing was trained yet
    (new / "checkpoints" / "last" / "3").mkdir(parents=True)
    run_folder.check_corpus(new, {"a/1": "z"})
    for other in ({"a/1": "x"}, {}, {"a/1": "z", "a/2": "y"}):
        with pytest.raises(WorkdirError, match="1 of .* sessions differ.*: a/[12]"):
            run_folder.check_corpus(new, other)
