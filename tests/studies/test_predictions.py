"""`damamba predict`: from a trained workdir and a folder to files, and again."""

import dataclasses
import json
import shutil

import jax
import pytest
from example import TINY
from forms import FEATURES, LABELS, configure_data, streams
from rich.console import Console

from damamba_jax import predict
from damamba_jax.data.recordings import open_recordings
from damamba_jax.errors import ConfigError, WorkdirError
from damamba_jax.inference.estimator import load_checkpoint
from damamba_jax.reporting import predictions as predictions_files
from damamba_jax.runs.bands import read_bands
from damamba_jax.runs.workdir import read_config
from damamba_jax.runtime.stop import StopRequest
from damamba_jax.studies import predictions, runs

CONFIG = """
from damamba_jax.configs import noxi


def get_config():
    config = noxi.get_config("tiny")
    config.features = {{
        "voice": dict(
            dim=3, group="audio", rate=50.0,
            table=dict(columns="pitch,loudness,jitter", files="{files}", {fields}),
        ),
        "face": dict(
            dim={dim}, group="visual", rate=25.0,
            table=dict(columns="AU*_r", files="{faces}", {fields}),
        ),
    }}
    config.data.features = "voice,face"
    config.data.layout = dict(
        name="mine", splits="all", roles="teacher,pupil", label_rate=10.0,
        label_path="{{session}}/{{role}}.none",
    )
    return config
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("corpus")
    streams(root)
    return root


@pytest.fixture(scope="module")
def workdir(root, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("runs") / "mine"
    features, places = streams(root)
    places = places | LABELS["lines"](root)
    data = configure_data(
        root, features, places, val_split="", test_sessions=("mine/all/tuesday",)
    )
    train = dataclasses.replace(TINY.train, steps=2, save_every=2)
    config = dataclasses.replace(TINY, data=data, train=train)
    with StopRequest() as stop, jax.numpy_dtype_promotion("standard"):
        runs.train(config, workdir, stop=stop, console=Console(quiet=True))
    return workdir


def run(workdir, source, out, **options):
    console = Console(record=True, width=200)
    predictions.predict_recordings([workdir], source, out, console=console, **options)
    return console.export_text()


def test_a_folder_is_scored_once(workdir, root, tmp_path, monkeypatch):
    out = tmp_path / "out"
    text = run(workdir, root, out)
    scored = out / "monday" / "pupil" / "scores.csv"
    first = scored.read_bytes()
    assert text.count("8.0") == 4 and f"Written: {out}" in text
    # One session alone is unwritten: nobody else's is computed again.
    shutil.rmtree(out / "tuesday")
    scored.write_bytes(first + b"kept")
    assert "already there" in run(workdir, root, out)
    assert scored.read_bytes() == first + b"kept"
    assert (out / "tuesday" / "teacher" / "scores.csv").is_file()


def test_predictions_are_never_written_over(workdir, root, tmp_path):
    run(workdir, root / "monday", tmp_path / "out")
    with pytest.raises(WorkdirError, match="holds predictions of other models"):
        run(workdir, root / "tuesday", tmp_path / "out")
    with pytest.raises(WorkdirError, match="holds predictions of other models"):
        run(workdir, root / "monday", tmp_path / "out", smoothing="exponential:1")
    with pytest.raises(WorkdirError, match="expected a new or empty folder"):
        run(workdir, root / "monday", root / "monday")


def test_what_is_refused_takes_no_folder(workdir, root, tmp_path):
    """Whoever corrects the command can give the same folder again."""
    other = tmp_path / "other"
    shutil.copytree(workdir, other)
    config = json.loads((other / "config.json").read_text())
    config["data"]["label_range"] = [0.0, 9.0]
    (other / "config.json").write_text(json.dumps(config))
    with pytest.raises(ConfigError, match=f"other values in {other} than in {workdir}"):
        predictions.predict_recordings(
            [workdir, other], root / "monday", tmp_path / "out",
            console=Console(quiet=True),
        )  # fmt: skip
    assert not (tmp_path / "out").exists()


def test_another_layout_is_read_by_its_configuration(
    workdir, root, tmp_path, monkeypatch
):
    # The log and the cache of programs of this process stay as they are.
    monkeypatch.setattr(predict, "show_log", lambda: Console(quiet=True))
    monkeypatch.setattr("damamba_jax.runtime.programs.keep_programs", lambda: None)
    forms = {f.__name__: f for f in FEATURES.values()}
    FEATURES_CSV = forms["csv_per_person"](tmp_path / "csv")
    table = FEATURES_CSV[0][0].table
    pattern = FEATURES_CSV[1]["feature_path"]
    fields = f'time="{table.time}"' if table.time else ""
    files = {
        name: pattern.replace("{stem}", name).replace("{", "{").replace("}", "}")
        for name in ("voice", "face")
    }
    config = tmp_path / "csv_config.py"
    text = CONFIG.format(
        files=files["voice"], faces=files["face"], fields=fields, dim=2
    )
    config.write_text(text)
    given = [f"--workdir={workdir}", f"--input={tmp_path / 'csv'}"]
    named = [*given, f"--config={config}"]
    assert predict.main([*named, f"--out={tmp_path / 'a'}"]) == 0
    run(workdir, root, tmp_path / "b")
    for name in ("pupil", "teacher"):
        one, two = (
            (tmp_path / out / "monday" / name / "scores.csv").read_text()
            for out in ("a", "b")
        )
        assert one == two
    config.write_text(text.replace("dim=2", "dim=7"))
    with pytest.raises(SystemExit, match="the feature face with 2 columns"):
        predict.main([*named, f"--out={tmp_path / 'd'}"])


def test_a_run_without_validation_keeps_its_last_step(workdir):
    estimator = load_checkpoint(workdir)
    assert estimator.step == 2 and read_config(workdir).data.val_split == ""
    assert read_bands(workdir) == estimator.bands and estimator.bands.frame is None


def test_sessions_of_one_name_get_a_folder_each(workdir, root, tmp_path):
    source = tmp_path / "source"
    for split, session in (("train", "monday"), ("val", "tuesday")):
        shutil.copytree(root / session, source / split / "Day")
    features, _ = streams(root)
    config = load_checkpoint(workdir).config
    place = dataclasses.replace(
        config.data.layout,
        splits=("train", "val"),
        feature_path="{split}/{session}/{role}.{stem}.stream",
        label_path="{split}/{session}/{role}.none",
    )
    index = open_recordings(
        source, dataclasses.replace(config.data, layout=place, features=features)
    )
    found = predictions._folders(tmp_path / "out", index.sessions)
    names = [str(folder.relative_to(tmp_path / "out")) for _, folder in found]
    assert names == ["mine-train/Day", "mine-val/Day"]


def test_a_picture_that_fails_costs_no_score(workdir, root, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("no font")

    monkeypatch.setattr(predictions_files, "draw_timeline", fail)
    run(workdir, root / "monday", tmp_path / "out")
    folder = tmp_path / "out" / "monday"
    assert (folder / "pupil" / "scores.csv").is_file()
    assert not (folder / "timeline.png").exists()


def test_a_model_that_was_trained_anew_is_another_one(workdir, root, tmp_path):
    run(workdir, root / "monday", tmp_path / "out")
    record = tmp_path / "out" / "prediction.json"
    tree = json.loads(record.read_text())
    tree["settings"]["models"] = ["0" * 64]
    record.write_text(json.dumps(tree))
    with pytest.raises(WorkdirError, match="holds predictions of other models"):
        run(workdir, root / "monday", tmp_path / "out")
