"""PInSoRo from a small corpus in its layout to a checked archive."""

import zipfile

import numpy as np
import pytest
from commands import run_module

from damamba_jax import submit
from damamba_jax.data.formats import ssi
from damamba_jax.files import read_json
from damamba_jax.runs.traces import read_traces
from damamba_jax.runtime.command import make_console
from damamba_jax.schema.release import ANNOTATIONS, RELEASED_FEATURES

# Nothing here depends on the versions of Python and JAX.
pytestmark = pytest.mark.slow

SECONDS = 6
FRAMES = SECONDS * 30
FEATURES = ("egemaps", "openface3")
SPLITS = {"train": 2, "val": 1, "test": 6}
# What makes the released model small enough for seconds.
SMALL = {
    "data.features": ",".join(FEATURES),
    "model.dim": 8, "model.state_dim": 4, "model.feature_blocks": 0,
    "model.audio_blocks": 0, "model.visual_blocks": 1, "model.context_blocks": 0,
    "model.dialogue_blocks": 0, "model.num_heads": 2, "model.head_dim": 8,
    "model.direction": "forward", "model.remat": False,
    "data.window.past_frames": 8, "data.window.core_frames": 16,
    "data.window.future_frames": 8, "data.window.stride_frames": 16,
    "optim.warmup_steps": 2, "optim.lr": 0.01,
    "train.steps": 4, "train.batch_size": 8, "train.eval_every": 4,
    "train.save_every": 4, "train.eval_batches": 2, "train.log_every": 1,
}  # fmt: skip


def names_of(annotation, session, role):
    """Class of each frame; empty where raters disagree, at the end too."""
    classes = ANNOTATIONS[annotation]
    seed = sum(map(ord, f"{annotation}{session}{role}"))
    steps = np.random.default_rng(seed).integers(0, len(classes), SECONDS)
    names = [classes[i] for i in np.repeat(steps, 30)]
    return ["" if i % 10 == 9 else name for i, name in enumerate(names)]


def write_corpus(root):
    rng = np.random.default_rng(0)
    for pairs in ("cc", "cr"):
        for split, number in SPLITS.items():
            for i in range(number):
                session = f"{i + 1:03d}"
                folder = root / f"{split}-{pairs}" / session
                for role in ("purple", "yellow"):
                    for name, rate in zip(FEATURES, (25.0, 30.0), strict=True):
                        feature = RELEASED_FEATURES[name]
                        data = rng.normal(size=(round(SECONDS * rate), feature.dim))
                        path = folder / f"{role}.{feature.stems[0]}.stream"
                        ssi.write_stream(path, data.astype(np.float32), rate)
                    for annotation in ("task_engagement", "social_engagement"):
                        lines = names_of(annotation, session, role)
                        path = folder / f"{role}.{annotation}.annotation.csv"
                        path.write_text("".join(f"{line}\n" for line in lines))
                    gender = 2 if role == "purple" else 1
                    path = folder / f"{role}.gender.annotation.csv"
                    path.write_text(f"0.0;{SECONDS}.0;{gender};1.0\n")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A corpus, a run for one annotation, and plain predictions of the other."""
    folder = tmp_path_factory.mktemp("pinsoro")
    write_corpus(folder / "corpus" / "pinsoro")
    run_module(
        folder, "damamba_jax.train", "--config=configs/pinsoro.py:task",
        "--workdir=task", f"--config.data.root={folder / 'corpus'}",
        *(f"--config.{name}={value}" for name, value in SMALL.items()),
    )  # fmt: skip
    for pairs in ("cc", "cr"):
        for session in (f"{i + 1:03d}" for i in range(SPLITS["test"])):
            for role in ("purple", "yellow")[: 2 if pairs == "cc" else 1]:
                own = folder / "social" / f"pinsoro-{pairs}" / session
                own.mkdir(parents=True, exist_ok=True)
                lines = names_of("social_engagement", session, role)
                path = own / f"{role}.social.csv"
                path.write_text("".join(f"{line}\n" for line in lines[3:-9]))
    return folder


def kappa(truth, predicted):
    """Cohen's kappa of names, counted one by one."""
    pairs = [(a, b) for a, b in zip(truth, predicted, strict=True) if a]
    agreed = sum(a == b for a, b in pairs) / len(pairs)
    true, guessed = zip(*pairs, strict=True)
    chance = sum(
        true.count(name) * guessed.count(name) / len(pairs) ** 2 for name in set(true)
    )
    return (agreed - chance) / (1 - chance)


def official(folder, pairs):
    """The challenge's kappa: pooled, frames without a class removed."""
    names = ANNOTATIONS["task_engagement"]
    traces = read_traces(folder / "task", f"pinsoro/test-{pairs}")
    truth, predicted = [], []
    for trace in traces:
        truth += names_of("task_engagement", trace.session, trace.role)
        predicted += [names[int(number)] for number in trace.prediction]
    assert len(predicted) == len(traces) * FRAMES
    return kappa(truth, predicted), {trace.role for trace in traces}


def test_kappa_is_the_official_one(folder):
    (result,) = read_json(folder / "task" / "results.json")["results"]
    splits = {split["split"]: split for split in result["splits"]}
    assert sorted(splits) == [
        "pinsoro/test-cc", "pinsoro/test-cr", "pinsoro/val-cc", "pinsoro/val-cr",
    ]  # fmt: skip
    for pairs, roles in (("cc", {"purple", "yellow"}), ("cr", {"purple"})):
        expected, found = official(folder, pairs)
        scores = splits[f"pinsoro/test-{pairs}"]["scores"]
        assert found == roles
        assert scores["kappa"] == pytest.approx(expected, abs=1e-12)
        # A tenth of the lines is empty.
        assert scores["num_frames"] == 6 * len(roles) * FRAMES * 9 // 10
    fair = splits["pinsoro/test-cc"]["fairness"]
    assert fair["people"] == {"female": 6, "male": 6}


def test_an_archive_of_a_run_and_of_plain_predictions(folder, monkeypatch):
    out = folder / "mine.zip"
    sets, root = "--sets=pinsoro-cc,pinsoro-cr", f"--root={folder / 'corpus'}"
    # In a process of its own, whose settings of JAX are those of training.
    said = run_module(
        folder,
        "damamba_jax.submit",
        "--workdir=task,social",
        f"--out={out}",
        sets,
        root,
    )
    assert "predictions are taken from an earlier evaluation" in said
    assert "accepted: no problem" in said
    for pairs in ("cc", "cr"):
        row = f"| pinsoro/test-{pairs} | task_engagement | "
        assert f"{row}{official(folder, pairs)[0]:.3f} |" in said
    with zipfile.ZipFile(out) as archive:
        files = {n: archive.read(n).decode().splitlines() for n in archive.namelist()}
    assert len(files) == 2 * (12 + 6) and not [n for n in files if "cr/003/y" in n]
    for name, lines in files.items():
        annotation = name.split(".")[1]
        assert len(lines) == FRAMES and set(lines) <= set(ANNOTATIONS[annotation])
    monkeypatch.setattr(submit, "show_log", make_console)
    assert submit.main([f"--check={out}", sets, root]) == 0
