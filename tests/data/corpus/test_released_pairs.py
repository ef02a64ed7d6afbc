"""NoXi-J and PInSoRo, written in their releases' layouts and found again."""

from pathlib import Path

import numpy as np
import pytest

from damamba_jax import inventory
from damamba_jax.config.tree import from_config_dict
from damamba_jax.configs import noxi_j
from damamba_jax.data.corpus import index as corpus_index
from damamba_jax.data.corpus.label_source import Scale
from damamba_jax.data.formats import ssi
from damamba_jax.data.open import open_corpus
from damamba_jax.errors import ConfigError, CorpusError
from damamba_jax.schema.release import ANNOTATIONS, RELEASED_FEATURES

CLIP, EGEMAPS = (RELEASED_FEATURES[name] for name in ("clip", "egemaps"))
SECONDS = 4
TASK, SOCIAL = ANNOTATIONS["task_engagement"], ANNOTATIONS["social_engagement"]


def write_person(folder: Path, role: str, *, visual_rate: float = 25.0) -> None:
    for feature, rate in ((CLIP, visual_rate), (EGEMAPS, 25.0)):
        data = np.ones((round(SECONDS * rate), feature.dim), np.float32)
        ssi.write_stream(folder / f"{role}.{feature.stems[0]}.stream", data, rate)


def write_noxi_j(root: Path, split: str, session: str, language: str) -> None:
    folder = root / split / session
    for role in ("expert", "novice"):
        write_person(folder, role)
        path = folder / f"{role}.engagement.annotation.csv"
        ssi.write_labels(path, np.full(SECONDS * 25, 0.5))
    (folder / "language.annotation.csv").write_text(f"0;4;{language};1\n")


def write_pinsoro(root: Path, split: str, session: str, *, labels: bool = True) -> None:
    """A session whose raters disagree in every seventh frame."""
    folder = root / split / session
    for role in ("purple", "yellow", "env"):
        write_person(folder, role, visual_rate=30.0)
        if role == "env" or not labels:
            continue
        for name in ("task_engagement", "social_engagement"):
            names = ANNOTATIONS[name]
            lines = [names[i % 3] if i % 7 else "" for i in range(SECONDS * 30)]
            text = "\n".join(lines) + "\n"
            (folder / f"{role}.{name}.annotation.csv").write_text(text)
            # The second rater's.
            decoy = folder / f"{role}.{name}.1.annotation.csv"
            decoy.write_text("noplay\n" * 99)


def find(root: Path, **options):
    return corpus_index.index(root, features=(CLIP, EGEMAPS), **options)


@pytest.mark.parametrize("name", ["noxi-j", "Noxi-J", "noxij"])
def test_noxi_j(tmp_path, name):
    write_noxi_j(tmp_path / name, "train", "101", "Japanese")
    write_noxi_j(tmp_path / name, "val", "143", "Chinese")
    # The corpus itself is a root as well, and is never taken for NoXi.
    for root in (tmp_path, tmp_path / name):
        found = find(root, scale=Scale())
        assert [(s.split, s.id, s.language) for s in found.sessions] == [
            ("noxi-j/train", "101", "Japanese"),
            ("noxi-j/val", "143", "Chinese"),
        ]
        assert found.problems == ()
        assert [p.num_labels for p in found.sessions[0].participants] == [100, 100]


def test_noxi_stays_noxi_in_any_folder_but_that_of_noxi_j(tmp_path):
    for name in ("noxi", "download"):
        write_noxi_j(tmp_path / name, "train", "001", "French")
        assert {s.split for s in find(tmp_path / name).sessions} == {"noxi/train"}


@pytest.mark.parametrize("head", ["task_engagement", "social_engagement"])
def test_pinsoro(tmp_path, head):
    root = tmp_path / "Pinsoro"
    write_pinsoro(root, "train-cc", "001")
    write_pinsoro(root, "train-cr", "002")
    write_pinsoro(root, "test-cr", "003", labels=False)
    for top in (tmp_path, root):
        found = find(top, scale=Scale(classes=ANNOTATIONS[head]))
        assert found.problems == ()
        pair, robot, test = found.sessions
        assert (pair.split, robot.split, test.split) == (
            "pinsoro/train-cc", "pinsoro/train-cr", "pinsoro/test-cr",
        )  # fmt: skip
        assert [p.role for p in pair.participants] == ["purple", "yellow"]
        assert pair.label_rate == 30.0 and pair.duration == SECONDS
        purple = pair.participants[0]
        assert purple.num_labels == SECONDS * 30
        assert purple.labels_path and purple.labels_path.name == (
            f"purple.{head}.annotation.csv"
        )
        # Raters disagree where a line is empty; the frame stays.
        expected = [i % 3 if i % 7 else np.nan for i in range(SECONDS * 30)]
        np.testing.assert_array_equal(pair.annotation(0), expected)
        # Features come at the rate of their own headers.
        assert {n: t.rate for n, t in purple.tracks.items()} == {
            "clip": 30.0, "egemaps": 25.0,
        }  # fmt: skip
        for session in (robot, test):
            assert [p.is_target for p in session.participants] == [True, False]
            machine = session.participants[1]
            assert machine.tracks and machine.labels_path is None
        assert test.num_frames(0) == SECONDS * 30


def test_annotations_choose_the_corpora(tmp_path):
    write_pinsoro(tmp_path / "pinsoro", "train-cc", "001")
    write_noxi_j(tmp_path / "noxi-j", "train", "101", "Japanese")
    reverse = find(tmp_path, scale=Scale(classes=TASK[::-1]))
    assert {s.corpus for s in reverse.sessions} == {"pinsoro"}
    assert any("noxi-j: this corpus is not read" in p for p in reverse.problems)
    assert {s.corpus for s in find(tmp_path, scale=Scale()).sessions} == {"noxi-j"}
    assert {s.corpus for s in find(tmp_path).sessions} == {"noxi-j", "pinsoro"}
    with pytest.raises(CorpusError, match="expected a corpus of a known layout"):
        find(tmp_path, scale=Scale(classes=("high", "low")))


def test_inventory_shows_both(tmp_path, capsys):
    write_pinsoro(tmp_path / "pinsoro", "val-cr", "001")
    write_noxi_j(tmp_path / "noxi-j", "val", "121", "Japanese")
    assert inventory.main([f"--root={tmp_path}", "--features=clip"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "| noxi-j/val | 1 | 2 | 2 | 100.0% | 0.00 |" in lines
    assert any(line.startswith("| 001 | purple | 120 (85.0%) ") for line in lines)
    assert "|  | yellow | none | clip | 512 | 30 | 120 | 4.0 |" in lines


def test_no_simulated_corpus_stands_in():
    data = from_config_dict(noxi_j.get_config()).data
    with pytest.raises(ConfigError, match=r"got nothing. Give --config.data.root=DIR"):
        open_corpus(data)


def test_genders(tmp_path):
    root = tmp_path / "noxi-j"
    write_noxi_j(root, "val", "143", "Chinese")
    write_noxi_j(root, "val", "144", "Chinese")
    folder = root / "val" / "143"
    path = folder / "expert.gender.annotation.csv"
    path.write_text("0.00;4.00;2;1.00\r\n")
    (folder / "novice.gender.annotation.csv").write_text("0;4;1;1\n0;4;2;1\n")
    (root / "val" / "144" / "novice.gender.annotation.csv").write_text("0;4;1.0;1")
    found = find(tmp_path)
    genders = [p.gender for s in found.sessions for p in s.participants]
    assert genders == ["female", None, None, "male"]
    (problem,) = found.problems
    assert "143 novice: expected one code of a gender" in problem
    path.write_text("0;4;woman;1\n")
    assert "not a number: 'woman'" in find(tmp_path).problems[0]
