"""Command lines of the benchmarks of a step, which take several configurations."""

import pytest

from benchmarks.step import command
from damamba_jax.errors import ConfigError
from damamba_jax.runtime.parser import Parser

DEFAULTS = ("configs/dat.py",)


def read(*argv):
    parser = Parser("python -m benchmarks.step.any", "Measures.")
    command.add_jobs(parser)
    options, configs = command.read(argv, parser, defaults=DEFAULTS)
    return options, [(config.name, config.optim.lr) for config in configs]


def test_each_configuration_gets_the_same_flags():
    options, found = read(
        "--config", "configs/noxi.py:demo", "--jobs=3", "--config=configs/dat.py:small",
        "--config.optim.lr", "0.5",
    )  # fmt: skip
    assert options.jobs == 3
    assert found == [("noxi-demo", 0.5), ("dat-small", 0.5)]
    _, found = read("--config.optim.lr=0.25")
    assert found == [("dat-m", 0.25)]


def test_a_command_may_take_a_single_configuration():
    def read_one(*argv):
        parser = Parser("python -m benchmarks.step.any", "Measures.")
        return command.read_one(argv, parser, default=DEFAULTS[0])[1]

    assert read_one("--batch_size=3").train.batch_size == 3
    with pytest.raises(ConfigError, match="expected one configuration, got 2; leave"):
        read_one("--config=configs/dat.py", "--config=configs/noxi.py:demo")


def test_none_is_given_twice():
    with pytest.raises(ConfigError, match="configuration once, got dat-m, dat-m"):
        read("--config=configs/dat.py", "--config", "configs/dat.py")
