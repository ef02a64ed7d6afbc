"""Whole evaluations with a model that can be predicted by hand, on a drawn corpus."""

import dataclasses
import io
import json
import shutil

import jax
import numpy as np
import pytest
from example import PAPER
from rich.console import Console

from damamba_jax import evaluate
from damamba_jax.config.smoothing import parse_smoothing
from damamba_jax.data.batches.statistics import fit_statistics
from damamba_jax.data.corpus import index as corpus_index
from damamba_jax.data.corpus import splits
from damamba_jax.data.formats import ssi
from damamba_jax.data.open import open_corpus
from damamba_jax.data.simulated import presets
from damamba_jax.data.simulated import write as simulated_write
from damamba_jax.errors import ConfigError, CorpusError
from damamba_jax.evaluation import evaluation, scoring
from damamba_jax.inference import ensemble
from damamba_jax.inference.estimator import Estimator
from damamba_jax.inference.sessions import predict_sessions
from damamba_jax.inference.smoothing import smooth_traces
from damamba_jax.metrics.intervals import score
from damamba_jax.reporting.results import draw_results, write_results
from damamba_jax.runs import traces as trace_files
from damamba_jax.runs.evaluations import Settings, choose_folder, write_record
from damamba_jax.runtime.command import make_console
from damamba_jax.runtime.progress import ProgressLine
from damamba_jax.runtime.stop import Stopped
from damamba_jax.schema.release import RELEASED_FEATURES
from damamba_jax.studies import evaluations

COLUMN = 3


class FrameEstimator(Estimator):
    """Scores each label time by one column of the target's nearest CLIP frame."""

    def __init__(self, config, statistics=None, *, simulated=True):
        self.config, self.statistics = config, statistics or {}
        self.simulated, self.step = simulated, 7
        self.shapes = set()

    def predict(self, batch, *, num_frames=None):
        self.shapes.add((batch["label"].shape, num_frames))
        values = batch["features"]["clip"][:, 0, :, COLUMN]
        time = batch["label_time"] - batch["first_time"]["clip"][:, :1]
        row = np.rint(time * batch["rate"]["clip"][:, :1]).astype(int)
        row = np.clip(row, 0, values.shape[1] - 1)
        scores = logistic(np.take_along_axis(values, row, axis=1))
        # What lies outside the core must never be used.
        return np.where(batch["label_core"], scores, 99.0)


def logistic(values):
    return 1 / (1 + np.exp(-np.nan_to_num(values)))


def make_config(cache_dir, **data):
    names = ("egemaps", "clip")
    features = tuple(
        dataclasses.replace(
            RELEASED_FEATURES[name], dim=presets.get_preset("tiny").dims[name]
        )
        for name in names
    )
    options = {
        "features": features,
        "window": dataclasses.replace(PAPER.data.window, frame_hz=25.0),
        "simulated": "tiny",
        "cache_dir": str(cache_dir),
        "num_threads": 1,
    }
    return dataclasses.replace(
        PAPER,
        name="tiny",
        data=dataclasses.replace(PAPER.data, **{**options, **data}),
        train=dataclasses.replace(PAPER.train, steps=1, batch_size=16),
    )


@pytest.fixture(scope="module")
def cache_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def config(cache_dir):
    return make_config(cache_dir)


@pytest.fixture(scope="module")
def index(config):
    return open_corpus(config.data)


@pytest.fixture(scope="module")
def estimator(config, index):
    sessions = splits.training_sessions(index, config.data)
    statistics = fit_statistics(
        sessions, config.data.features, cache_dir=config.data.cache_dir
    )
    return FrameEstimator(config, statistics)


def quiet():
    return Console(file=io.StringIO(), width=240)


def predict_all(estimator, sessions, **options):
    """Predicts every target with the configuration's own sizes."""
    config = estimator.config
    return predict_sessions(
        estimator.predict, sessions, config.data, batch_size=config.train.batch_size,
        frame_multiple=config.model.frame_multiple, **options,
    )  # fmt: skip


def find_oracle(index, split, config, protocol):
    return scoring.find_oracle(
        index,
        split,
        config.data,
        config.model,
        protocol=protocol,
        smoothing=config.smoothing,
    )


def expected(session, participant, cache_dir):
    stream = participant.tracks["clip"].open(cache_dir)
    return logistic(np.asarray(stream.data[:, COLUMN], np.float32))


@pytest.mark.parametrize("frame_hz", [25.0, 100.0])
def test_stitched_cores_are_the_whole_session(cache_dir, index, frame_hz):
    config = make_config(
        cache_dir, window=dataclasses.replace(PAPER.data.window, frame_hz=frame_hz)
    )
    model = FrameEstimator(config)
    sessions = index.split("noxi/val")
    told = []
    traces = predict_all(model, sessions, progress=lambda *counts: told.append(counts))
    assert [(t.session, t.role) for t in traces] == [
        (session.id, role) for session in sessions for role in ("expert", "novice")
    ]
    for i, trace in enumerate(traces):
        session = sessions[i // 2]
        participant = session.participants[i % 2]
        np.testing.assert_array_equal(trace.label, participant.labels())
        np.testing.assert_allclose(
            trace.prediction, expected(session, participant, cache_dir), atol=1e-6
        )
    # 600 labels per person: 19 cores of 32 labels, or 75 of 8.
    batches = -(-4 * (19 if frame_hz == 25.0 else 75) // 16)
    assert told == [(i + 1, batches) for i in range(batches)]
    assert {frames for _, frames in model.shapes} == {96}


def test_one_long_pass_is_one_window_per_person(config, cache_dir, tmp_path):
    # Sessions of two lengths, the longer one first: passes come in another order.
    preset = presets.Preset(
        dims=presets.get_preset("tiny").dims,
        splits=(
            presets.SplitPreset(name="noxi/val", sessions=1, seconds=24.0),
            presets.SplitPreset(name="noxi/test-base", sessions=1, seconds=10.0),
        ),
    )
    simulated_write.write_corpus(tmp_path / "corpus", preset)
    index = open_corpus(config.data, root=str(tmp_path / "corpus"))
    sessions = [*index.split("noxi/val"), *index.split("noxi/test-base")]
    model = FrameEstimator(config)
    traces = predict_all(model, sessions, protocol="long")
    for trace, (session, participant) in zip(
        traces, [(s, p) for s in sessions for p in s.participants], strict=True
    ):
        assert (trace.split, trace.session) == (session.split, session.id)
        np.testing.assert_allclose(
            trace.prediction, expected(session, participant, cache_dir), atol=1e-6
        )
    # 24 s and 10 s, padded to 40 s and 20 s in whole chunks of 16 frames.
    assert model.shapes == {((1, 1024), 1024), ((1, 512), 512)}


def test_scores_of_the_wrong_shape_are_refused(config, index):
    model = FrameEstimator(config)
    model.predict = lambda batch, num_frames: np.zeros((16, 3))
    with pytest.raises(ValueError, match=r"expected scores of shape \(16, 96\), got"):
        predict_all(model, index.split("noxi/val"))


def test_whole_evaluation(estimator, index, tmp_path):
    console = quiet()
    result = evaluation.evaluate(estimator, index, out=tmp_path, console=console)
    draw_results(result, tmp_path, num_timelines=1)
    write_results([result], tmp_path, console=console)
    (split,) = result.splits
    assert (split.split, split.kind, split.num_sessions) == (
        "noxi/val", "validation", 2,
    )  # fmt: skip
    traces = predict_all(estimator, index.split("noxi/val"))
    assert split.scores == score(traces)
    assert list(split.by_role) == ["expert", "novice"]
    assert sorted(split.by_language) == ["English", "French"]
    assert list(split.by_session) == ["noxi/val/004", "noxi/val/005"]
    assert split.ridge.num_frames == split.scores.num_frames
    assert split.oracle.name == "oracle, 3.84 s window"
    assert 0.5 < split.oracle.ccc < 1
    assert result.mark == "simulated"
    said = console.file.getvalue()
    assert "noxi/val (simulated): 5/5 batches" in said
    assert "ridge regression: 3/3 sessions" in said
    tree = json.loads((tmp_path / "results.json").read_text())
    assert tree["results"][0]["splits"][0]["scores"]["ccc"] == split.scores.ccc
    main, *others = (tmp_path / "results.md").read_text().split("\n## ")[1:]
    (row,) = [line for line in main.splitlines() if line.startswith("| tiny, step 7")]
    assert row == "| tiny, step 7 | – | – | – | – | simulated |"
    assert any(text.startswith("Validation (not comparable") for text in others)
    names = sorted(p.name for p in (tmp_path / "pictures").iterdir())
    assert names[0] == "noxi-val.004.timeline.png" or names[0].endswith("timeline.png")
    assert names[-1] == "noxi-val.scatter.png" and len(names) == 2
    assert not (tmp_path / "predictions").exists()
    kept = trace_files.read_traces(tmp_path, "noxi/val")
    assert score(kept) == split.scores


@pytest.fixture
def release(index, tmp_path):
    """The corpus with an unlabelled test set and one unlabelled person in `val`."""
    root = tmp_path / "release"
    shutil.copytree(index.root, root)
    shutil.copytree(root / "noxi/val", root / "noxi/test-base")
    for path in (root / "noxi/test-base").rglob("*.engagement.annotation.csv"):
        path.unlink()
    (root / "noxi/val/004/novice.engagement.annotation.csv").unlink()
    return root


def test_people_without_labels_get_prediction_files(
    estimator, release, tmp_path, monkeypatch, cache_dir, capsys
):
    monkeypatch.setattr(evaluations, "load_checkpoint", lambda workdir: estimator)
    monkeypatch.setattr(evaluate, "show_log", make_console)
    out = tmp_path / "out"
    arguments = [f"--workdir={tmp_path}", f"--root={release}", f"--out={out}"]
    status = evaluate.main([*arguments, "--pictures=0", "--ridge=no"])
    assert status == 0
    said = capsys.readouterr().out
    assert "noxi/test-base: 4 people without annotations are predicted" in said
    assert "noxi/val: 1 people without annotations" in said
    files = sorted(p.relative_to(out) for p in out.rglob("*.prediction.csv"))
    assert [str(f) for f in files] == [
        f"predictions/noxi/{name}.engagement.prediction.csv"
        for name in (
            "test-base/004/expert", "test-base/004/novice", "test-base/005/expert",
            "test-base/005/novice", "val/004/novice",
        )
    ]  # fmt: skip
    index = corpus_index.index(release, features=estimator.config.data.features)
    (session, _) = index.split("noxi/test-base")
    written = ssi.read_labels(out / files[0])
    np.testing.assert_allclose(
        written, expected(session, session.participants[0], cache_dir), atol=1e-6
    )
    tree = json.loads((out / "results.json").read_text())
    test, val = tree["results"][0]["splits"]
    assert (test["split"], test["scores"], test["num_unlabelled"]) == (
        "noxi/test-base", None, 4,
    )  # fmt: skip
    assert val["scores"]["num_frames"] > 0 and val["num_unlabelled"] == 1
    assert not (out / "pictures").exists()


def test_several_models_in_one_table_after_long_passes(
    estimator, release, tmp_path, monkeypatch
):
    def load(workdir):
        config = dataclasses.replace(estimator.config, name=workdir.rsplit("/")[-1])
        return FrameEstimator(config, estimator.statistics)

    monkeypatch.setattr(evaluations, "load_checkpoint", load)
    monkeypatch.setattr(evaluate, "show_log", make_console)
    evaluate.main(
        [f"--workdir={tmp_path}/one", f"--workdir={tmp_path}/two", "--pictures=0",
         f"--root={release}", "--protocol=long", "--splits=noxi/val",
         "--smoothing=gaussian:1"]
    )  # fmt: skip
    # Nothing of the runs' own evaluations is overwritten.
    name = "evaluations/noxi-val+two+root-release+long+gaussian-1"
    out = tmp_path / "one" / name
    tree = json.loads((out / "results.json").read_text())
    assert [row["method"] for row in tree["results"]] == ["one", "two"]
    assert {row["protocol"] for row in tree["results"]} == {"long"}
    assert {row["smoothing"] for row in tree["results"]} == {"gaussian 1 s"}
    found = sorted(p.relative_to(tmp_path) for p in tmp_path.rglob("*.prediction.csv"))
    assert [str(path.parents[3]) for path in found] == [
        f"one/{name}/{run}/predictions" for run in ("one", "two")
    ]  # fmt: skip


def test_no_evaluation_writes_over_another(
    estimator, release, index, tmp_path, monkeypatch
):
    monkeypatch.setattr(evaluations, "load_checkpoint", lambda workdir: estimator)
    monkeypatch.setattr(evaluations, "open_corpus", lambda *_, **__: index)
    monkeypatch.setattr(evaluate, "show_log", make_console)
    workdir = tmp_path / "run"

    def run(*flags):
        evaluate.main([f"--workdir={workdir}", "--pictures=0", "--ridge=no", *flags])
        return {
            path: path.read_bytes()
            for path in sorted(workdir.rglob("*"))
            if path.is_file() and path.name != "evaluation.json"
        }

    kept = run()
    assert {path.parent for path in kept} == {workdir, workdir / "traces"}
    for flags in (
        ["--splits=noxi/train"], ["--protocol=long"], ["--smoothing=gaussian:1"],
        [f"--root={release}"], [f"--labels_root={release}"],
        [f"--workdir={tmp_path}/other"], [f"--workdir={tmp_path}/other", "--ensemble"],
    ):  # fmt: skip
        found = run(*flags)
        assert found.items() >= kept.items() and len(found) > len(kept), flags
        # The very same again takes the same place.
        assert run(*flags).keys() == found.keys()
        kept = found
    record = json.loads((workdir / "evaluation.json").read_text())
    assert record["corpus"] == str(index.root) and record["steps"] == [7]
    assert record["versions"]["jax"] == jax.__version__ and record["device"]
    # A folder that was asked for is taken once, and by nothing else.
    run(f"--out={tmp_path}/out", "--protocol=long")
    for out in (tmp_path / "out", workdir):
        with pytest.raises(SystemExit, match="`--out`: .* holds another evaluation"):
            run(f"--out={out}", "--smoothing=exponential:1")
    assert run() == kept


def test_folders_of_other_settings_and_from_before_are_left_alone(tmp_path):
    settings = Settings(workdirs=(str(tmp_path),), splits=("a/b",))
    folder = choose_folder(settings)
    assert folder == tmp_path / "evaluations" / "a-b"
    # Names that look alike, and evaluations without a record.
    write_record(folder, settings, corpus=tmp_path, steps=[1])
    other = dataclasses.replace(settings, splits=("a-b",))
    assert choose_folder(settings) == folder
    assert choose_folder(other) == tmp_path / "evaluations" / "a-b-2"
    (tmp_path / "evaluations" / "a-b-2" / "traces").mkdir(parents=True)
    assert choose_folder(other) == tmp_path / "evaluations" / "a-b-3"
    (folder / "evaluation.json").write_text("{")
    assert choose_folder(settings) == tmp_path / "evaluations" / "a-b-3"


class OffsetEstimator(FrameEstimator):
    """Off by a constant that the mean over two models with opposite ones cancels."""

    def __init__(self, config, statistics, offset):
        super().__init__(config, statistics)
        self.offset = offset

    def predict(self, batch, *, num_frames=None):
        return super().predict(batch, num_frames=num_frames) + np.float32(self.offset)


def test_an_ensemble_is_one_more_row(estimator, release, tmp_path, monkeypatch, capsys):
    offsets = {"a/run": 0.2, "b/run": -0.2}

    def load(workdir):
        (name,) = [name for name in offsets if workdir.endswith(name)]
        return OffsetEstimator(estimator.config, estimator.statistics, offsets[name])

    monkeypatch.setattr(evaluations, "load_checkpoint", load)
    monkeypatch.setattr(evaluate, "show_log", make_console)
    arguments = [f"--workdir={tmp_path}/{name}" for name in offsets]
    out = tmp_path / "out"
    arguments += [f"--root={release}", f"--out={out}", "--pictures=0", "--ridge=no"]
    evaluate.main([*arguments, "--ensemble"])
    tree = json.loads((out / "results.json").read_text())
    first, second, mean = tree["results"]
    # Folders of one name are told apart.
    assert (first["method"], second["method"]) == ("tiny (a-run)", "tiny (b-run)")
    assert (mean["method"], mean["step"]) == ("ensemble of 2", None)
    ccc = [
        {s["split"]: s["scores"] and s["scores"]["ccc"] for s in row["splits"]}
        for row in tree["results"]
    ]
    assert ccc[2]["noxi/val"] > max(ccc[0]["noxi/val"], ccc[1]["noxi/val"]) + 0.01
    assert mean["splits"][1]["oracle"] == first["splits"][1]["oracle"] is not None
    # People without labels get the mean as well.
    name = "predictions/noxi/val/004/novice.engagement.prediction.csv"
    paths = [out / "a-run" / name, out / "b-run" / name, out / "ensemble" / name]
    a, b, both = (ssi.read_labels(path) for path in paths)
    np.testing.assert_allclose(both, (a + b) / 2, atol=1e-6)
    np.testing.assert_allclose(a - b, 0.4, atol=1e-6)
    assert "| ensemble of 2 |" in capsys.readouterr().out
    for wrong, message in (
        (arguments[1:], "expected two workdirs or more"),
        ([arguments[0], *arguments], "expected each folder once"),
    ):
        with pytest.raises(SystemExit) as end:
            evaluate.main([*wrong, "--ensemble"])
        assert end.value.code == 2 and message in capsys.readouterr().err


def test_an_ensemble_needs_the_same_recordings(estimator, index):
    traces = predict_all(estimator, index.split("noxi/val"))
    with pytest.raises(ConfigError, match="only some predicted 004/novice"):
        ensemble.average_traces([traces, [traces[0], *traces[2:]]])
    other = dataclasses.replace(traces[1], label=traces[1].label + 0.5)
    with pytest.raises(ConfigError, match="annotations of 004/novice differ"):
        ensemble.average_traces([traces, [traces[0], other, *traces[2:]]])


def test_traces_are_kept_as_they_were(estimator, index, tmp_path):
    traces = predict_all(estimator, index.split("noxi/val"))
    traces[0] = dataclasses.replace(traces[0], language=None)
    trace_files.write_traces(tmp_path, traces)
    kept = trace_files.read_traces(tmp_path, "noxi/val")
    assert score(kept) == score(traces)
    for one, other in zip(kept, traces, strict=True):
        for field in dataclasses.fields(one):
            a, b = getattr(one, field.name), getattr(other, field.name)
            np.testing.assert_array_equal(a, b)
    with pytest.raises(ValueError, match="found no file; evaluate first"):
        trace_files.read_traces(tmp_path, "noxi/test-base")
    with pytest.raises(ValueError, match=r"one split, got \['noxi/test', 'noxi/val'\]"):
        other = dataclasses.replace(traces[0], split="noxi/test")
        trace_files.write_traces(tmp_path, [*traces, other])


def test_groups_are_shown_whole_if_asked_for(cache_dir, tmp_path):
    preset = presets.Preset(
        dims=presets.get_preset("tiny").dims,
        splits=(
            presets.SplitPreset(
                name="mpiigroupinteraction/test", sessions=1, seconds=4.0,
                domain="groups",
            ),
            presets.SplitPreset(name="noxi/val", sessions=1, seconds=4.0),
        ),
    )  # fmt: skip
    simulated_write.write_corpus(tmp_path / "corpus", preset)
    seats = []

    class Counting(FrameEstimator):
        def predict(self, batch, *, num_frames=None):
            seats.append(batch["participant_valid"].sum(axis=1).tolist()[0])
            return super().predict(batch, num_frames=num_frames)

    for asked, expected in ((0, {2}), (3, {2, 3}), (4, {2, 4})):
        config = make_config(cache_dir, eval_participants=asked)
        index = open_corpus(config.data, root=str(tmp_path / "corpus"))
        seats.clear()
        for split in ("mpiigroupinteraction/test", "noxi/val"):
            predict_all(Counting(config), index.split(split))
        assert set(seats) == expected, asked


def test_wrong_input_is_an_error_without_traceback(
    estimator, index, tmp_path, monkeypatch
):
    monkeypatch.setattr(evaluations, "load_checkpoint", lambda workdir: estimator)
    monkeypatch.setattr(evaluate, "show_log", make_console)
    arguments = [f"--workdir={tmp_path}", f"--root={index.root}"]
    with pytest.raises(SystemExit, match="`split`: .*'noxi/tets-base'; did you mean"):
        evaluate.main([*arguments, "--splits=noxi/tets-base"])
    with pytest.raises(SystemExit, match="error: `data.root`"):
        evaluate.main([f"--workdir={tmp_path}", f"--root={tmp_path}/nowhere"])


def test_labels_root_adds_labels_later(estimator, release, index, tmp_path):
    data = estimator.config.data
    labels = tmp_path / "labels"
    shutil.copytree(index.root / "noxi/val", labels / "noxi/test-base")
    opened = open_corpus(data, root=str(release), labels_root=str(labels))
    result = evaluation.evaluate(
        estimator, opened, out=tmp_path, splits=["noxi/test-base"],
        ridge=False, console=quiet(),
    )  # fmt: skip
    (split,) = result.splits
    assert split.kind == "test" and split.num_unlabelled == 0
    reference = score(
        predict_all(estimator, index.split("noxi/val"), split=split.split)
    )
    assert split.scores == reference


def test_a_stop_request_is_obeyed_between_batches(estimator, index, tmp_path):
    asked = []

    def should_stop():
        asked.append(1)
        return len(asked) > 2

    with pytest.raises(Stopped):
        evaluation.evaluate(
            estimator, index, out=tmp_path, ridge=False, should_stop=should_stop,
            console=quiet(),
        )  # fmt: skip
    assert len(asked) == 3 and not list(tmp_path.iterdir())

    def stop_ridge():
        # The regression comes once the predictions are written.
        return any(tmp_path.rglob("*.npz"))

    with pytest.raises(Stopped, match="ridge"):
        evaluation.evaluate(
            estimator, index, out=tmp_path, should_stop=stop_ridge, console=quiet()
        )


def test_a_recorded_model_on_drawn_data_says_so(estimator, index, tmp_path):
    recorded = FrameEstimator(estimator.config, simulated=False)
    console = quiet()
    result = evaluation.evaluate(
        recorded, index, out=tmp_path, ridge=False, console=console
    )
    assert result.mark == "trained on recorded, scored on simulated data"
    assert f"noxi/val ({result.mark})" in console.file.getvalue()


def test_oracle_of_the_whole_session_for_a_long_pass(estimator, index):
    config = estimator.config
    long = find_oracle(index, "noxi/val", config, "long")
    assert long.name == "oracle, whole session"
    assert long.ccc != find_oracle(index, "noxi/val", config, "stitched").ccc
    assert find_oracle(index, "noxi/train fold 0", config, "long") is None
    inner = open_corpus(config.data, root=str(index.root / "noxi"))
    assert find_oracle(inner, "noxi/val", config, "long") == long
    recorded = dataclasses.replace(index, simulated=False)
    assert find_oracle(recorded, "noxi/val", config, "long") is None


def test_the_oracle_sees_partners_where_the_evaluation_shows_them(cache_dir, index):
    def find(participants, shown):
        config = make_config(
            cache_dir, participants=participants, eval_participants=shown
        )
        return find_oracle(index, "noxi/val", config, "stitched").ccc

    # Trained on the target alone or on pairs, and evaluated on pairs or alone.
    assert find(1, 2) == find(2, 0) == find(2, 2)
    assert find(2, 1) == find(1, 0) == find(1, 1)
    assert find(1, 0) != find(2, 0)


def test_held_out_fold_is_validation_and_trains_nothing(cache_dir, index):
    data = make_config(cache_dir, num_folds=3, fold=1).data
    held_out = splits.fold_sessions(index, data)
    training = splits.training_sessions(index, data)
    assert [s.id for s in held_out] == ["002"]
    assert [s.id for s in training] == ["001", "003"]
    found = splits.evaluation_splits(index, data)
    assert [(s.name, s.kind) for s in found] == [
        ("noxi/val", "validation"),
        ("noxi/train fold 1 of 3", "validation"),
    ]
    assert found[1].sessions == held_out


def test_sessions_that_test_neither_train_nor_validate(cache_dir, index):
    first, second = index.split("noxi/train")[:2]
    names = (f"noxi/train/{second.id}", f"noxi/train/{first.id}")
    data = make_config(cache_dir, test_sessions=names).data
    rest = index.split("noxi/train")[2:]
    assert splits.training_sessions(index, data) == rest
    found = {s.name: s for s in splits.evaluation_splits(index, data)}
    assert found["noxi/train held out"].sessions == (second, first)
    assert found["noxi/train held out"].kind == "test"
    folded = dataclasses.replace(data, num_folds=2)
    assert splits.validation_sessions(index, folded) == rest[::2]
    validated = dataclasses.replace(data, val_split="noxi/train")
    assert splits.validation_sessions(index, validated) == rest
    assert (
        splits.validation_sessions(index, dataclasses.replace(data, val_split="")) == ()
    )
    wrong = dataclasses.replace(data, test_sessions=("noxi/train/nobody",))
    with pytest.raises(CorpusError, match="expected sessions of noxi/train"):
        splits.evaluation_splits(index, wrong)


def test_splits_that_train_never_test(cache_dir, index):
    data = make_config(cache_dir, train_splits=("noxi/train", "noxi/val")).data
    assert splits.split_kind("noxi/val", data) == "training"
    assert splits.evaluation_splits(index, data) == ()
    (split,) = splits.evaluation_splits(index, data, ["noxi/val"])
    assert split.kind == "training"
    with pytest.raises(CorpusError, match="test-base"):
        splits.evaluation_splits(index, data, ["noxi/test-base"])
    names = {"mpiigroupinteraction/test": "test", "mine/dev": "other"}
    assert {n: splits.split_kind(n, data) for n in names} == names


def test_plain_progress_lines_tell_the_time_to_go():
    console = quiet()
    times = iter([0.0, 1.0, 30.0, 31.0, 60.0])
    with ProgressLine("noxi/val", console, clock=lambda: next(times)) as progress:
        for done in (1, 2, 3, 4):
            progress(done, 4)
    assert console.file.getvalue().splitlines() == [
        "noxi/val: 2/4 batches, 50 %, ETA 0:00:30",
        "noxi/val: 4/4 batches in 0:01:00",
    ]


def test_progress_of_a_resumed_run_counts_from_its_start():
    console = quiet()
    times = iter([0.0, 20.0])
    with ProgressLine(
        "train", console, unit="steps", start=80, clock=lambda: next(times)
    ) as progress:
        progress(90, 100, note="loss 0.5")
    assert console.file.getvalue() == (
        "train: 90/100 steps, 90 %, ETA 0:00:20, loss 0.5\n"
    )


def test_live_progress_in_a_terminal():
    console = Console(file=io.StringIO(), force_terminal=True, width=120)
    with ProgressLine("noxi/val", console) as progress:
        progress(1, 4)
        progress(4, 4)
    assert "noxi/val" in console.file.getvalue()
    assert "4/4" in console.file.getvalue()


def test_smoothing_changes_predictions_and_is_recorded(estimator, index, tmp_path):
    from_command = parse_smoothing("gaussian:1")
    results = [
        evaluation.evaluate(
            estimator, index, out=tmp_path, splits=["noxi/val"], ridge=False,
            smoothing=smoothing, console=quiet(),
        )
        for smoothing in (None, from_command)
    ]  # fmt: skip
    assert [result.smoothing for result in results] == ["none", "gaussian 1 s"]
    traces = predict_all(estimator, index.split("noxi/val"))
    expected = [score(traces).ccc]
    expected.append(score(smooth_traces(traces, from_command)).ccc)
    got = [result.splits[0].scores.ccc for result in results]
    np.testing.assert_allclose(got, expected, rtol=1e-6)
    assert abs(got[1] - got[0]) > 1e-3
    seen = [result.splits[0].oracle.seen for result in results]
    assert seen == ["3.84 s window", "3.84 s window, unsmoothed"]
    forward = dataclasses.replace(
        estimator.config,
        model=dataclasses.replace(estimator.config.model, direction="forward"),
    )
    with pytest.raises(
        ConfigError, match="reads the future, which a forward model does not see"
    ):
        evaluation.evaluate(
            FrameEstimator(forward), index, out=tmp_path, smoothing=from_command
        )


def test_an_oracle_that_sees_less_than_the_model_says_so(config, index):
    data = dataclasses.replace(config.data, normalization="session")
    config = dataclasses.replace(config, data=data)
    found = {
        protocol: find_oracle(index, "noxi/val", config, protocol).seen
        for protocol in ("stitched", "long")
    }
    assert found == {
        "stitched": "3.84 s window without session statistics",
        "long": "whole session",
    }
