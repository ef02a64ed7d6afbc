"""The page of a configuration: nothing is left out, and each value has its source."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from damamba_jax.config import __main__ as command
from damamba_jax.config.show import Sources, feature_rows, parts
from damamba_jax.config.tree import flatten
from damamba_jax.configs import baseline, dat, mpiigi, noxi

ROOT = Path(__file__).parents[2]
NOXI = Path(noxi.__file__).read_text()


def rows(config, *files, overridden=()):
    texts = [Path(file.__file__).read_text() for file in files] + [NOXI]
    found = parts(config, Sources(texts, overridden))
    return {row.path: row for part in found for row in part.rows}


def test_the_page_in_the_folder_of_configurations_is_up_to_date():
    page = command.to_markdown(noxi.get_config(), Sources([NOXI]))
    assert (ROOT / "configs" / "README.md").read_text() == page, (
        "python -m damamba_jax.config show configs/noxi.py --markdown "
        "> configs/README.md"
    )


@pytest.mark.parametrize("file", [noxi, dat, baseline])
def test_every_field_is_shown_with_its_meaning(file):
    config = file.get_config()
    found = rows(config, file)
    expected = flatten(config.to_dict())
    shown = {path for path in expected if not path.startswith("features.")}
    # A tuple is one value.
    assert found.keys() == {re.sub(r"\.\d+$", "", path) for path in shown}
    assert all(row.meaning.endswith(".") for row in found.values())
    assert found["train.steps"].value == str(config.train.steps)
    assert found["train.steps"].unit == "steps"


def test_every_value_of_the_paper_configuration_is_marked():
    body = NOXI[NOXI.index("def _paper") : NOXI.index("def _native_rate")]
    lines = re.findall(r"^    config\..* = .*$", body, re.MULTILINE)
    marked = re.compile(r"(# (paper|ours)\b.*|ConfigDict\(\)|feature_table\(\))$")
    unmarked = [line for line in lines if not marked.search(line)]
    assert len(lines) > 60 and not unmarked


def test_sources_are_those_of_the_value_that_is_in_effect():
    paper, demo = rows(noxi.get_config()), rows(noxi.get_config("demo"))
    assert paper["optim.lr"].source == "paper"
    assert demo["optim.lr"].source.startswith("ours: at twice this rate")
    assert demo["optim.clip_norm"].source == "paper"
    changed = rows(noxi.get_config(), overridden=["optim.lr"])
    assert changed["optim.lr"].source == "command line"
    # Computed values, and a file's own remark before that of noxi.py.
    assert rows(mpiigi.get_config(), mpiigi)["optim.lr"].source == "ours: fine-tuning"
    assert rows(baseline.get_config("clip"), baseline)["model.dropout"].source == (
        "paper; `all` takes that of eGeMAPS"
    )
    assert rows(dat.get_config(), dat)["model.max_participants"].source.endswith(
        "published for two people"
    )


def test_features_in_use_are_listed():
    config = noxi.get_config()
    config.data.features = "clip,openpose"
    assert [row[:4] for row in feature_rows(config)] == [
        ("clip", "512", "visual", "25.0"),
        ("openpose", "139", "visual", "25.0"),
    ]


def test_tables_of_features_show_what_is_given():
    config = noxi.get_config()
    config.data.features = "clip"
    config.features.clip.table = dict(preset="openface", valid="confidence>=0.8")
    ((*_, table, _, _),) = feature_rows(config)
    assert table == "preset=openface; valid=confidence>=0.8"


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "damamba_jax.config", *arguments],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_the_command_shows_what_the_flags_change():
    done = run("show", "configs/noxi.py:demo", "--config.model.dim=64", "--markdown")
    assert done.returncode == 0, done.stderr
    assert "| `model.dim` | 64 |  | > 0 | command line | Width of one" in done.stdout
    assert "| `optim.lr` | 0.005 |" in done.stdout


@pytest.mark.parametrize(
    ("status", "arguments", "message"),
    [
        (2, ["shw"], "error: `show`: expected one of show, got 'shw'"),
        (1, ["show", "configs/noxi.py:demo", "--config.model.dim=7"], "a multiple of"),
    ],
)
def test_wrong_calls_are_answered_in_a_line(status, arguments, message):
    done = run(*arguments)
    assert done.returncode == status
    assert message in done.stderr and "Traceback" not in done.stderr
