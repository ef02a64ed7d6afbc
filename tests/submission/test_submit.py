"""The command, as a user types it."""

import dataclasses
import zipfile

import numpy as np
import pytest
from example import TINY
from sets import FRAMES, predictions

from damamba_jax import submit
from damamba_jax.config.layout import LabelConfig, LayoutConfig
from damamba_jax.config.tree import to_json
from damamba_jax.data.formats import ssi
from damamba_jax.errors import CorpusError
from damamba_jax.metrics.intervals import score
from damamba_jax.metrics.trace import Trace
from damamba_jax.runs.traces import write_traces
from damamba_jax.runs.workdir import CONFIG
from damamba_jax.runtime.command import make_console
from damamba_jax.schema.release import ANNOTATIONS, RELEASED_FEATURES
from damamba_jax.submission import submit as writing
from damamba_jax.submission.predictions import read_predictions
from damamba_jax.submission.profiles import PROFILES
from damamba_jax.submission.profiles import SETS as SETS_OF_2026

SETS = PROFILES["mm24"].sets


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    """Leaves the log of other tests as it is."""
    monkeypatch.setattr(submit, "show_log", make_console)


def make_traces(folder):
    """An evaluation's traces of the sets of 2024; of two sets labels are known."""
    rng = np.random.default_rng(0)
    made = {}
    for one in predictions(folder, SETS):
        split = one.part.split
        known = not split.startswith("mpii")
        label = np.full(FRAMES, np.nan)
        trace = Trace(
            split=split, session=one.session, role=one.role, prediction=one.values,
            label=np.clip(one.values + rng.normal(0, 0.1, FRAMES), 0, 1)
            if known else label,
        )  # fmt: skip
        made.setdefault(split, []).append(trace)
    for traces in made.values():
        write_traces(folder, traces)
    return made


def run(capsys, *flags):
    """The exit status of the command, and what it printed."""
    try:
        status = submit.main(list(flags))
    except SystemExit as end:
        status = end.code
    captured = capsys.readouterr()
    return status, f"{captured.out}{captured.err}{status}"


def test_from_an_evaluation_to_an_archive(tmp_path, capsys):
    made = make_traces(tmp_path / "run")
    out = tmp_path / "mine.zip"
    flags = (f"--workdir={tmp_path}/run", f"--out={out}", "--profile=mm24")
    status, said = run(capsys, *flags)
    assert status == 0 and "accepted: no problem" in said
    assert "| noxi-base | 16 of 16 | 32 of 32 | 32 of 32 | 192 |" in said
    base = score(made["noxi/test-base"]).ccc
    assert f"| noxi/test-base | engagement | {base:.3f} |" in said
    # Its parts are not all there.
    assert "mpiigroupinteraction/test" not in said and "Global" not in said
    with zipfile.ZipFile(out) as archive:
        name = "noxi-base/002/expert.engagement.annotation.csv"
        written = [float(line) for line in archive.read(name).split()]
    trace = made["noxi/test-base"][2]
    assert (trace.session, trace.role) == ("002", "expert")
    np.testing.assert_allclose(written, trace.prediction, atol=5.1e-7)
    # It is never written over unless somebody asks for it.
    before = out.stat().st_ino
    status, said = run(capsys, *flags)
    assert "exists already" in said and out.stat().st_ino == before
    assert run(capsys, *flags, "--overwrite")[0] == 0
    assert out.stat().st_ino != before


def test_overall_scores_need_all_parts(tmp_path, capsys):
    made = make_traces(tmp_path / "run")
    groups = [
        dataclasses.replace(trace, label=trace.prediction[::-1].copy())
        for trace in made["mpiigroupinteraction/test"]
    ]
    write_traces(tmp_path / "run", groups)
    made["mpiigroupinteraction/test"] = groups
    flags = (f"--workdir={tmp_path}/run", f"--out={tmp_path}/a.zip", "--profile=mm24")
    mean = np.mean([score(traces).ccc for traces in made.values()])
    assert f"| Global 2024 |  | {mean:.3f} |" in run(capsys, *flags)[1]


def test_an_archive_with_problems_is_not_written(tmp_path, capsys):
    make_traces(tmp_path / "run")
    out = tmp_path / "mine.zip"
    flags = (f"--workdir={tmp_path}/run", f"--out={out}")
    status, said = run(capsys, *flags)
    assert "noxi-j: is not there." in said and "pinsoro-cr: is not there." in said
    assert "is not written, because it has 3 problems" in said and status != 0
    assert list(tmp_path.iterdir()) == [tmp_path / "run"]
    sets = "--sets=noxi-base,noxi-additional,mpiigroupinteraction"
    assert run(capsys, *flags, sets)[0] == 0
    status, said = run(capsys, f"--check={out}")
    assert status == 1 and "problems: 3" in said
    assert run(capsys, f"--check={out}", sets)[0] == 0


def test_lengths_are_those_of_the_corpus(tmp_path, capsys):
    make_traces(tmp_path / "run")
    feature = RELEASED_FEATURES["openface3"]
    seconds = 1
    for number in range(16):
        folder = tmp_path / f"noxi/test-base/{number + 1:03d}"
        for role in ("expert", "novice"):
            data = np.zeros((seconds * 25, feature.dim), np.float32)
            ssi.write_stream(folder / f"{role}.openface3.stream", data, 25.0)
    flags = (f"--root={tmp_path}", "--sets=noxi-base")
    out = tmp_path / "mine.zip"
    status, said = run(capsys, f"--workdir={tmp_path}/run", f"--out={out}", *flags)
    assert status == 0 and "| 32 of 32 | 800 |" in said
    assert f"{32 * 19} frames without prediction were filled" in said
    assert run(capsys, f"--check={out}", *flags)[0] == 0
    # Half a second more, in one session.
    data = np.zeros((38, feature.dim), np.float32)
    folder = tmp_path / "noxi/test-base/007"
    for role in ("expert", "novice"):
        ssi.write_stream(folder / f"{role}.openface3.stream", data, 25.0)
    status, said = run(capsys, f"--check={out}", *flags)
    assert status == 1 and "problems: 2" in said
    assert (
        "noxi-base/007/novice.engagement.prediction.csv: expected 38 lines, the "
        "frames of the corpus, got 25."
    ) in said


@pytest.mark.parametrize(
    ("flags", "match"),
    [
        ([], "expected --workdir=DIR and --out=FILE.zip to write"),
        (["--workdir=a"], "--out=FILE.zip"),
        (["--out=a.zip"], "expected --workdir=DIR"),
        (["--check=a.zip", "--workdir=b", "--out=c.zip"], "--check=FILE.zip alone"),
        (["--check=a.zip", "--profile=mm25"], "expected one of mm24, mm26"),
        (["--check=a.zip", "--sets=noxi"], "did you mean 'noxi-"),
        (["--workdir=a", "--out=b.zip", "--smoothing=no"], "`--smoothing`: expected"),
    ],
)
def test_wrong_flags(capsys, flags, match):
    status, said = run(capsys, *flags)
    assert status == 2 and match in said


@pytest.mark.parametrize(
    "flags", [("--check=empty.zip",), ("--workdir=nothing", "--out=new.zip")]
)
def test_a_set_that_the_profile_lacks_is_told_before_a_corpus_is_read(
    tmp_path, capsys, monkeypatch, flags
):
    monkeypatch.chdir(tmp_path)
    zipfile.ZipFile("empty.zip", "w").close()
    flags = (*flags, "--profile=mm24", "--sets=noxi-base,noxi-j")
    # There is no corpus in this root, which would be an error too.
    for root in ((), (f"--root={tmp_path}",)):
        status, said = run(capsys, *flags, *root)
        assert status == 2 and "mm24 has no set 'noxi-j'" in said


def stream(root, path, frames, feature="openface3"):
    """Writes a stream of a released feature, such as `noxi/test-base/001/expert`."""
    released = RELEASED_FEATURES[feature]
    file = root / f"{path}.{released.stems[0]}.stream"
    file.parent.mkdir(parents=True, exist_ok=True)
    ssi.write_stream(file, np.zeros((frames, released.dim), np.float32), 25.0)


def test_without_annotations_the_longest_stream_counts(tmp_path):
    for feature, frames in (("openface3", 250), ("egemaps", 240), ("clip", 252)):
        for role in ("expert", "novice"):
            stream(tmp_path, f"noxi/test-base/001/{role}", frames, feature)
    egemaps = dataclasses.replace(
        TINY.data, features=(RELEASED_FEATURES["egemaps"],), root=str(tmp_path)
    )
    for data in (None, egemaps):
        found = writing.count_frames(str(tmp_path), data=data)
        assert set(found.values()) == {252}


def test_annotations_of_a_layout_with_classes_count(tmp_path):
    table = "start,end,mood\n0,4,goaloriented\n4,9,aimless\n"
    for role in ("purple", "yellow"):
        stream(tmp_path, f"test-cc/001/{role}", 250)
        (tmp_path / f"test-cc/001/{role}.labels.csv").write_text(table)
    layout = LayoutConfig(
        name="pinsoro", splits=("test-cc",), roles=("purple", "yellow"),
        feature_path="{split}/{session}/{role}.{stem}.stream",
        label_path="{split}/{session}/{role}.labels.csv", label_rate=25.0,
        labels=LabelConfig(values=("mood",), start="start", end="end"),
    )  # fmt: skip
    data = dataclasses.replace(
        TINY.data, features=(RELEASED_FEATURES["openface3"],), layout=layout,
        classes=ANNOTATIONS["task_engagement"], cache_dir=str(tmp_path / "cache"),
    )  # fmt: skip
    found = writing.count_frames(str(tmp_path), data=data)
    # The streams last for ten seconds, the annotations for nine.
    assert found == {("pinsoro/test-cc", "001", r): 225 for r in layout.roles}


def make_run(workdir, root, **changes):
    """Writes the configuration of a run on a corpus; returns the workdir."""
    data = dataclasses.replace(TINY.data, root=str(root), **changes)
    workdir.mkdir()
    (workdir / CONFIG).write_text(to_json(dataclasses.replace(TINY, data=data)))
    return str(workdir)


def frames_of(*workdirs, root=""):
    request = writing.Request(
        workdirs=workdirs, profile=PROFILES["mm26"], root=str(root)
    )
    return writing.known_frames(request)


def test_lengths_are_those_of_the_run_s_own_part_of_the_corpus(tmp_path):
    for number in ("001", "002"):
        for role in ("expert", "novice"):
            stream(tmp_path, f"noxi/test-base/{number}/{role}", 25)
    labels = tmp_path / "labels/noxi/test-base/001"
    labels.mkdir(parents=True)
    ssi.write_labels(labels / "expert.engagement.annotation.csv", np.zeros(24))
    workdir = make_run(
        tmp_path / "run", tmp_path, labels_root=str(tmp_path / "labels"),
        exclude=("*/002",),
    )  # fmt: skip
    # A root that is named is that of the same corpus, with the same labels.
    for root in ("", tmp_path):
        # Without these labels a session would have 25 frames.
        roles = ("expert", "novice")
        assert frames_of(workdir, root=root) == {
            ("noxi/test-base", "001", role): 24 for role in roles
        }


def test_folders_of_predictions_may_have_anybody_in_the_named_root(tmp_path):
    root = tmp_path / "corpus"
    for place in ("noxi/test-base/001", "noxi-j/test/002"):
        for role in ("expert", "novice"):
            stream(root, f"{place}/{role}", 25)
    run = make_run(tmp_path / "run", root, exclude=("*/002",))
    (tmp_path / "predictions").mkdir()
    alone = frames_of(f"{tmp_path}/predictions", root=root)
    assert {split for split, *_ in alone} == {"noxi/test-base", "noxi-j/test"}
    assert frames_of(run, f"{tmp_path}/predictions", root=root) == alone
    assert {split for split, *_ in frames_of(run, root=root)} == {"noxi/test-base"}


def test_folders_of_predictions_may_have_anybody_in_a_layout_of_one_s_own(tmp_path):
    root = tmp_path / "corpus"
    for session in ("001", "002"):
        for role in ("expert", "novice"):
            stream(root, f"{session}/{role}", 25)
    stream(root, "003/expert", 25)
    (root / "003/expert.openface3.stream").write_text("damaged")
    layout = LayoutConfig(
        name="noxi", splits=("test-base",), roles=("expert", "novice"),
        feature_path="{session}/{role}.{stem}.stream",
        label_path="{session}/{role}.engagement.csv",
    )  # fmt: skip
    run = make_run(
        tmp_path / "run", root, exclude=("002", "003"), layout=layout,
        features=(RELEASED_FEATURES["openface3"],),
    )  # fmt: skip
    both = frames_of(run, f"{tmp_path}/predictions", root=root)
    assert {session for _, session, _ in both} == {"001", "002"}
    assert {session for _, session, _ in frames_of(run)} == {"001"}


def test_a_corpus_of_several_runs_is_indexed_once(tmp_path, monkeypatch):
    root = tmp_path / "corpus"
    for role in ("expert", "novice"):
        stream(root, f"noxi/test-base/001/{role}", 25)
    runs = [
        make_run(tmp_path / "first", root),
        make_run(tmp_path / "second", root / "../corpus", num_threads=7),
    ]
    index, indexed = writing.corpus_index.index, []

    def count(*args, **kwargs):
        indexed.append(kwargs)
        return index(*args, **kwargs)

    monkeypatch.setattr(writing.corpus_index, "index", count)
    assert len(frames_of(*runs, f"{runs[0]}/")) == 2 and len(indexed) == 1
    # These runs read something else.
    runs.append(make_run(tmp_path / "third", root, exclude=("*.clip.stream",)))
    frames_of(*runs)
    assert [one["exclude"] for one in indexed[1:]] == [(), ("*.clip.stream",)]


def test_folders_without_predictions(tmp_path, capsys):
    status, said = run(capsys, f"--workdir={tmp_path}", f"--out={tmp_path}/a.zip")
    assert "expected predictions of noxi/test-base" in said and status != 0


def test_classes_in_another_order_are_named_right(tmp_path):
    official = ANNOTATIONS["task_engagement"]
    trace = Trace(
        split="pinsoro/test-cr", session="001", role="purple",
        label=np.full(3, np.nan), prediction=np.array([0.0, np.nan, 3.0]),
        classes=official[::-1],
    )  # fmt: skip
    write_traces(tmp_path, [trace])
    (found,) = read_predictions(tmp_path, SETS_OF_2026)
    assert found.part.annotation == "task_engagement"
    np.testing.assert_array_equal(found.values, [3.0, np.nan, 0.0])
    write_traces(tmp_path, [dataclasses.replace(trace, classes=("yes", "no"))])
    with pytest.raises(CorpusError, match="got yes,no in"):
        read_predictions(tmp_path, SETS_OF_2026)
