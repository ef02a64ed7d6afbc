"""Windows against slow, obvious references, over real files."""

import dataclasses
import math
from fractions import Fraction

import numpy as np
import pytest
from example import PAPER
from line_labels import line_labels

from damamba_jax.config.sections import FeatureConfig
from damamba_jax.config.window import WindowConfig
from damamba_jax.data.batches import windows
from damamba_jax.data.batches.builder import Rows
from damamba_jax.data.batches.timeline import first_label, num_cores
from damamba_jax.data.corpus import sessions
from damamba_jax.data.corpus.tracks import Track
from damamba_jax.data.formats import ssi
from damamba_jax.errors import CorpusError
from damamba_jax.metrics.turns import Turns

FACE = FeatureConfig(name="face", dim=3, group="visual", rate=25.0, stems=("face",))
VOICE = FeatureConfig(name="voice", dim=2, group="audio", rate=25.0, stems=("voice",))
VOICE_ARRAYS = ("features", "feature_valid", "first_time")
SHORT = WindowConfig(
    past_frames=4, core_frames=4, future_frames=4, stride_frames=4, frame_hz=25.0
)


def stream(length, dim, *, seed, rate=25.0, dtype=np.float32, valid=None):
    values = np.random.default_rng(seed).standard_normal((length, dim)).astype(dtype)
    return values, rate, valid


def make_session(folder, people, *, label_rate=25.0, duration=4.0, name="001"):
    """Writes one session; `people` is a list of ({feature: stream}, labels | None)."""
    participants = []
    for seat, (streams, labels) in enumerate(people):
        role, tracks, source = f"pos{seat}", {}, None
        where = folder / name
        where.mkdir(parents=True, exist_ok=True)
        for feature in (FACE, VOICE):
            if feature.name not in streams:
                continue
            values, rate, valid = streams[feature.name]
            path = where / f"{role}.{feature.name}.stream"
            ssi.write_stream(path, values, rate, valid=valid)
            tracks[feature.name] = Track(
                feature=feature,
                path=path,
                rate=rate,
                num_frames=len(values),
                header_rate=rate,
            )
        if labels is not None:
            path = where / f"{role}.engagement.annotation.csv"
            ssi.write_labels(path, np.asarray(labels, np.float64))
            source = line_labels(path, rate=label_rate)
        participants.append(
            sessions.Participant(
                role=role,
                tracks=tracks,
                num_labels=0 if labels is None else len(labels),
                label_source=source,
            )
        )
    return sessions.Session(
        corpus="custom",
        split="custom/train",
        id=name,
        participants=tuple(participants),
        duration=duration,
        label_rate=label_rate,
        language=None,
    )


def dyad(folder, *, name="001", frames=100, num_people=2):
    people = []
    for seat in range(num_people):
        seed = 10 * int(name) + 2 * seat
        tracks = {
            "face": stream(frames, 3, seed=seed),
            "voice": stream(frames, 2, seed=seed + 1),
        }
        labels = np.random.default_rng(seed).uniform(0, 1, frames)
        people.append((tracks, labels))
    return make_session(folder, people, name=name, duration=frames / 25)


def config(folder, *, window=SHORT, participants=2):
    return dataclasses.replace(
        PAPER.data,
        features=(FACE, VOICE),
        participants=participants,
        window=window,
        cache_dir=str(folder / "cache"),
    )


def training(sessions, data, **kwargs):
    defaults = dict(max_participants=4, batch_size=8, seed=3, num_steps=100)
    return windows.TrainingSource(sessions, data, **{**defaults, **kwargs})


def assert_same(a, b):
    assert a.keys() == b.keys()
    for key in a:
        if isinstance(a[key], dict):
            assert_same(a[key], b[key])
        else:
            assert a[key].dtype == b[key].dtype
            np.testing.assert_array_equal(a[key], b[key])


@pytest.mark.parametrize("label_rate", [25.0, 30.0, 30000 / 1001])
@pytest.mark.parametrize("frame_hz", [25.0, 30.0, 100.0])
@pytest.mark.parametrize("core", [1, 7, 32])
def test_each_label_lies_in_exactly_one_core(label_rate, frame_hz, core):
    rate = Fraction(label_rate).limit_denominator(1001)
    for num_labels in (1, 2, 24, 25, 26, 601):
        count = num_cores(
            num_labels, every_frames=core, frame_hz=frame_hz, label_rate=label_rate
        )
        edges = first_label(
            np.arange(count + 1) * core, frame_hz=frame_hz, label_rate=label_rate
        )
        belongs = np.full(num_labels, -1)
        for k in range(count):
            for i in range(int(edges[k]), min(int(edges[k + 1]), num_labels)):
                assert belongs[i] == -1
                assert k * core / Fraction(frame_hz) <= i / rate
                assert i / rate < (k + 1) * core / Fraction(frame_hz)
                belongs[i] = k
        assert (belongs >= 0).all()
        # The last core is needed.
        assert edges[count - 1] < num_labels


def test_first_label_takes_one_rate_per_frame():
    frames = np.array([-8, 0, 3, 100])
    rates = np.array([25.0, 30.0, 25.0, 30.0])
    together = first_label(frames, frame_hz=100.0, label_rate=rates)
    single = [
        int(first_label(int(f), frame_hz=100.0, label_rate=float(r)))
        for f, r in zip(frames, rates, strict=True)
    ]
    assert together.tolist() == single == [-2, 0, 1, 30]


@pytest.mark.parametrize("label_rate", [25.0, 30.0])
@pytest.mark.parametrize("frame_hz", [25.0, 30.0, 100.0])
def test_stitched_labels_come_once_each(tmp_path, label_rate, frame_hz):
    sessions = []
    for name, seconds in (("001", 3.3), ("002", 1.9)):
        count = math.floor(seconds * label_rate)
        labels = np.linspace(0, 1, count)
        labels[3:7] = np.nan
        tracks = {"face": stream(80, 3, seed=1), "voice": stream(80, 2, seed=2)}
        sessions.append(
            make_session(
                tmp_path,
                [(tracks, labels), (tracks, labels[::-1])],
                label_rate=label_rate,
                duration=seconds,
                name=name,
            )
        )
    window = WindowConfig(
        frame_hz=frame_hz,
        past_frames=6,
        core_frames=8,
        future_frames=6,
        stride_frames=8,
    )
    source = windows.EvaluationSource(
        sessions, config(tmp_path, window=window), batch_size=5
    )
    found = {}
    for batch, rows in windows.read_batches(source, num_threads=2):
        for row in range(5):
            key = int(rows.session[row]), int(rows.participant[row])
            taken = rows.label_index[row] >= 0
            assert rows.row_valid[row] or not taken.any()
            assert not (taken & ~batch["label_core"][row]).any()
            times = batch["label_time"][row][taken]
            context = window.past_frames / frame_hz
            shown = batch["label_time"][row][batch["label_valid"][row]]
            assert ((shown > -1e-5) & (shown < 20 / frame_hz - 1e-5)).all()
            assert (times >= context - 1e-5).all()
            assert (times < context + 8 / frame_hz + 1e-5).all()
            values = np.where(batch["label_valid"][row], batch["label"][row], np.nan)[
                taken
            ]
            for index, value in zip(rows.label_index[row][taken], values, strict=True):
                found.setdefault(key, []).append((int(index), float(value)))
    assert len(found) == 4
    for (session, seat), pairs in found.items():
        truth = sessions[session].participants[seat].labels()
        assert [index for index, _ in pairs] == list(range(len(truth)))
        np.testing.assert_allclose([value for _, value in pairs], truth, atol=1e-6)


def reference_rows(values, valid, rate, start, frames, end=math.inf):
    """Native rows of one window, one row at a time."""
    rows = np.zeros((frames, values.shape[1]), np.float32)
    good = np.zeros(frames, bool)
    # Whether rows follow may not show in a window whose end is hidden.
    last = len(values) - frames if end == math.inf else len(values)
    first = min(math.floor(start * rate + 1e-9), last)
    first = max(first, 0)
    for k in range(frames):
        i = min(first + k, len(values) - 1)
        good[k] = valid is None or valid[i]
        good[k] &= (first + k) / rate < end - 1e-9
        if good[k]:
            rows[k] = values[i]
    return rows, good, first / rate - start


@pytest.mark.parametrize(
    ("dtype", "past"),
    [(np.float32, 10), (np.float64, 10), (np.int16, 10), (np.float32, 3),
     (np.float32, 0), (np.float32, 20)],
)  # fmt: skip
def test_slices_equal_a_slow_reference(tmp_path, dtype, past):
    """Edges, a gap, other rates, a stream shorter than the window, nothing at all."""
    gap = np.ones(90, bool)
    gap[:4] = gap[30:50] = False
    people = [
        (
            {
                "face": stream(90, 3, seed=1, dtype=dtype, valid=gap),
                "voice": stream(9, 2, seed=2, rate=2.0, dtype=dtype),
            },
            np.linspace(0, 1, 100),
        ),
        ({"voice": stream(103, 2, seed=3, dtype=dtype)}, np.linspace(1, 0, 100)),
    ]
    session = make_session(tmp_path, people)
    alone = make_session(tmp_path, people[1:], name="002")
    window = WindowConfig(
        frame_hz=50.0,
        past_frames=past,
        core_frames=10,
        future_frames=20 - past,
        stride_frames=10,
    )
    data = config(tmp_path, window=window)
    source = windows.EvaluationSource([session, alone], data, batch_size=16)
    frames = math.ceil(0.6 * 25) + 2
    checked = 0
    for batch, rows in (source[i] for i in range(len(source))):
        assert batch["features"]["face"].shape == (16, 2, frames, 3)
        for row in np.flatnonzero(rows.row_valid):
            first = rows.label_index[row][rows.label_index[row] >= 0][0]
            core = int(first / 25 * 50) // 10
            start = (core * 10 - past) / 50
            # Past 20 leaves no future: rows behind the core are hidden.
            end = start + 0.6 if past == 20 else math.inf
            lone = rows.session[row] == 1
            seats = (
                [1, None]
                if lone
                else [rows.participant[row], 1 - rows.participant[row]]
            )
            for slot, seat in enumerate(seats):
                present = seat is not None
                assert batch["participant_valid"][row, slot] == present
                streams = people[seat][0] if present else {}
                for name in ("face", "voice"):
                    got = batch["features"][name][row, slot]
                    good = batch["feature_valid"][name][row, slot]
                    if name not in streams:
                        assert not good.any() and not got.any()
                        assert batch["rate"][name][row, slot] == 25.0
                        continue
                    values, rate, valid = streams[name]
                    want, want_good, lag = reference_rows(
                        values, valid, rate, start, frames, end
                    )
                    np.testing.assert_array_equal(good, want_good)
                    np.testing.assert_array_equal(got, want)
                    np.testing.assert_allclose(
                        batch["first_time"][name][row, slot], lag, atol=1e-5
                    )
                    assert batch["rate"][name][row, slot] == rate
                    checked += 1
    assert checked > 60


def test_a_window_always_finds_the_rows_it_needs(tmp_path):
    """Native rows reach around the first and the last frame of every window."""
    session = dyad(tmp_path, frames=97)
    for frame_hz in (25.0, 30.0, 100.0):
        window = WindowConfig(
            frame_hz=frame_hz,
            past_frames=11,
            core_frames=9,
            future_frames=11,
            stride_frames=9,
        )
        source = windows.EvaluationSource(
            [session], config(tmp_path, window=window), batch_size=4
        )
        for batch, rows in (source[i] for i in range(len(source))):
            lag = batch["first_time"]["face"][rows.row_valid]
            last = lag + (batch["features"]["face"].shape[2] - 1) / 25
            first_index = rows.label_index[rows.row_valid].max(axis=1)
            core = np.floor(first_index / 25 * frame_hz / 9 + 1e-9)
            start = ((core * 9 - 11) / frame_hz)[:, None]
            assert ((lag <= 1e-6) | np.isclose(start + lag, 0, atol=1e-5)).all()
            ends = (last >= 30 / frame_hz - 1e-6) | np.isclose(
                start + last, 96 / 25, atol=1e-5
            )
            assert ends.all()


def test_training_is_a_function_of_seed_and_step(tmp_path):
    sessions = [dyad(tmp_path, name=name) for name in ("001", "002")]
    data = config(tmp_path)
    source = training(sessions, data)
    again = training(sessions, data)
    other = training(sessions, data, seed=4)
    assert source.num_windows == 2 * 2 * 25
    for start in (0, 1, 11, 96):
        iterator = windows.read_batches(source, num_threads=2, start_step=start)
        for step in range(start, start + 3):
            batch = next(iterator)
            assert_same(batch, again[step])
            assert not np.array_equal(batch["label"], other[step]["label"])
            assert not np.array_equal(
                batch["participant_slot"], again[step + 1]["participant_slot"]
            )
        iterator.close()
    assert len(list(windows.read_batches(source, num_threads=0, start_step=98))) == 2


def test_an_epoch_visits_every_window_once(tmp_path):
    sessions = [dyad(tmp_path, name=name) for name in ("001", "002")]
    source = training(sessions, config(tmp_path))
    # 100 windows in batches of 8: 25 steps are exactly two epochs, and step 12 lies
    # across both.
    labels = np.concatenate(
        [
            b["label"][b["label_core"]].reshape(8, 4)
            for b in map(source.__getitem__, range(25))
        ]
    )
    epochs = labels[:100], labels[100:]
    every = np.concatenate(
        [p.labels().reshape(25, 4) for s in sessions for p in s.participants]
    )
    for epoch in epochs:
        np.testing.assert_allclose(
            np.sort(epoch[:, 0]), np.sort(every[:, 0].astype(np.float32))
        )
    assert not np.array_equal(*epochs)


def test_processes_share_one_global_batch(tmp_path):
    sessions = [dyad(tmp_path, num_people=3)]
    data = config(tmp_path, participants=3)
    whole = training(sessions, data)
    parts = [
        training(sessions, data, process_index=i, process_count=4) for i in range(4)
    ]
    for step in (0, 7):
        for key in ("features", "feature_valid", "first_time"):
            np.testing.assert_array_equal(
                np.concatenate([part[step][key]["face"] for part in parts]),
                whole[step][key]["face"],
            )
        for key in ("label", "participant_slot", "label_time"):
            np.testing.assert_array_equal(
                np.concatenate([part[step][key] for part in parts]), whole[step][key]
            )
    evaluation = windows.EvaluationSource(sessions, data, batch_size=6)
    halves = [
        windows.EvaluationSource(
            sessions, data, batch_size=6, process_index=i, process_count=2
        )
        for i in range(2)
    ]
    last = len(evaluation) - 1
    np.testing.assert_array_equal(
        np.concatenate([half[last].rows.label_index for half in halves]),
        evaluation[last].rows.label_index,
    )


def test_windows_without_a_rated_core_are_left_out(tmp_path):
    labels = np.full(40, np.nan)
    labels[[9, 30]] = 0.5
    tracks = {"face": stream(40, 3, seed=1), "voice": stream(40, 2, seed=2)}
    session = make_session(tmp_path, [(tracks, labels), (tracks, None)])
    source = training([session], config(tmp_path), batch_size=2)
    assert source.num_windows == 2
    batch = source[0]
    assert (batch["label_valid"] & batch["label_core"]).any(axis=1).all()


@pytest.mark.parametrize("participants", [2, 3, 4])
def test_partners_and_slots_in_training(tmp_path, participants):
    """Slots are injective and cover all; partners of a large group are all drawn."""
    sessions = [dyad(tmp_path, num_people=4)]
    source = training(
        sessions, config(tmp_path, participants=participants), batch_size=32,
        max_participants=5,
    )  # fmt: skip
    slots, partners = [], []
    faces = [
        np.asarray(p.tracks["face"].open(str(tmp_path)).data)
        for p in sessions[0].participants
    ]
    for step in range(4):
        batch = source[step]
        assert batch["participant_valid"].all()
        assert (batch["participant_slot"][:, 0] == 0).all()
        slots.append(batch["participant_slot"][:, 1:])
        who = [
            [
                next(i for i, face in enumerate(faces) if (face == x[0]).all(1).any())
                for x in row
            ]
            for row in batch["features"]["face"]
        ]
        for row in who:
            assert len(set(row)) == participants
            assert row[1:] == sorted(row[1:])
        partners.extend(row[1] for row in who if row[0] == 0)
    slots = np.concatenate(slots)
    assert all(len(set(row)) == participants - 1 for row in slots.tolist())
    assert set(slots.ravel().tolist()) == {1, 2, 3, 4}
    assert set(partners) >= ({1} if participants == 4 else {1, 2})


def test_small_and_large_groups_share_a_batch(tmp_path):
    """Everybody who is there is shown; only seats that stay empty are masked."""
    sessions = [dyad(tmp_path), dyad(tmp_path, name="002", num_people=4)]
    source = training(sessions, config(tmp_path, participants=3), batch_size=64)
    for step in range(4):
        shown = source[step]["participant_valid"]
        assert set(map(tuple, shown.tolist())) == {(True, True, False), (True,) * 3}
        dyads = (~shown[:, 2]).mean()
        assert 0.15 < dyads < 0.55  # a third of the windows


def test_partners_in_evaluation_follow_the_roles(tmp_path):
    session = dyad(tmp_path, num_people=4)
    source = windows.EvaluationSource(
        [session], config(tmp_path, participants=3), batch_size=100
    )
    batch, rows = source[0]
    assert (batch["participant_slot"] == [0, 1, 2]).all()
    first = batch["features"]["face"][:, :, 0]
    faces = [
        np.asarray(p.tracks["face"].open(str(tmp_path)).data)
        for p in session.participants
    ]
    for target, others in ((0, (1, 2)), (1, (0, 2)), (3, (0, 1))):
        row = np.flatnonzero(rows.participant == target)[0]
        for slot, seat in enumerate((target, *others)):
            np.testing.assert_array_equal(first[row, slot], faces[seat][0])


def test_prediction_covers_people_without_annotation(tmp_path):
    tracks = {"face": stream(100, 3, seed=1), "voice": stream(100, 2, seed=2)}
    session = make_session(
        tmp_path, [(tracks, np.full(100, 0.5)), (tracks, None)], duration=4.02
    )
    data = config(tmp_path)
    assert windows.EvaluationSource([session], data, batch_size=4).num_windows == 25
    source = windows.EvaluationSource([session], data, batch_size=4, targets="all")
    found = []
    for batch, rows in (source[i] for i in range(len(source))):
        found += rows.label_index[(rows.participant == 1)].ravel().tolist()
        assert not batch["label_valid"][rows.participant == 1].any()
    # 4.02 s at 25 Hz are 100.5 labels, rounded to even.
    assert sorted(i for i in found if i >= 0) == list(range(100))


def test_fewer_batches_are_spread_over_the_sessions(tmp_path):
    sessions = [dyad(tmp_path, name=name) for name in ("001", "002", "003")]
    source = windows.EvaluationSource(
        sessions, config(tmp_path), batch_size=6, max_batches=2
    )
    assert len(source) == 2
    seen = np.concatenate([source[i].rows.session for i in range(2)])
    assert set(seen.tolist()) == {0, 1, 2}
    assert np.concatenate([source[i].rows.row_valid for i in range(2)]).all()


@pytest.mark.parametrize("unit", ["frame", "turn"])
def test_few_batches_are_of_cores_with_ratings(tmp_path, unit):
    labels = np.full(400, np.nan)
    labels[[130, 250]] = 0.5
    tracks = {"face": stream(400, 3, seed=1), "voice": stream(400, 2, seed=2)}
    session = make_session(tmp_path, [(tracks, labels), (tracks, labels)])
    if unit == "turn":
        turns = Turns(("a", "b"), np.array([100, 240]), np.array([140, 245]))
        object.__setattr__(session, "turns", lambda seat: turns)
    source = windows.EvaluationSource(
        [session], config(tmp_path), batch_size=2, targets="rated", max_batches=1
    )
    batch, rows = source[0]
    assert rows.row_valid.all()
    assert ((rows.label_index >= 0) & batch["label_valid"]).any(axis=1).all()
    everything = windows.EvaluationSource([session], config(tmp_path), batch_size=2)
    rated = windows.EvaluationSource(
        [session], config(tmp_path), batch_size=2, targets="rated"
    )
    assert rated.num_windows == {"frame": 4, "turn": 2}[unit] < everything.num_windows
    labels[:] = np.nan
    session = make_session(tmp_path, [(tracks, labels)], name="002")
    with pytest.raises(CorpusError, match="at least one rating among 1 sessions"):
        windows.EvaluationSource(
            [session], config(tmp_path), batch_size=2, targets="rated"
        )


def test_long_passes_show_whole_sessions(tmp_path):
    sessions = [
        dyad(tmp_path, name="001", frames=100),
        dyad(tmp_path, name="002", frames=37),
        dyad(tmp_path, name="003", frames=120),
    ]
    groups = windows.long_passes(sessions, config(tmp_path), multiple_frames=64)
    assert [(d.window.window_frames, who) for d, who in groups] == [
        (64, [1]), (128, [0, 2])
    ]  # fmt: skip
    for data, members in groups:
        chosen = [sessions[i] for i in members]
        source = windows.EvaluationSource(chosen, data, batch_size=2)
        assert source.num_windows == 2 * len(members)
        for batch, rows in (source[i] for i in range(len(source))):
            for row in range(2):
                session = chosen[rows.session[row]]
                person = session.participants[rows.participant[row]]
                truth = person.labels()
                taken = rows.label_index[row] >= 0
                np.testing.assert_array_equal(
                    rows.label_index[row][taken], np.arange(len(truth))
                )
                face = np.asarray(person.tracks["face"].open(data.cache_dir).data)
                np.testing.assert_array_equal(
                    batch["features"]["face"][row, 0][: len(face)], face
                )
                assert batch["first_time"]["face"][row, 0] == 0


def test_a_long_pass_reaches_the_last_label(tmp_path):
    tracks = {"face": stream(50, 3, seed=1), "voice": stream(50, 2, seed=2)}
    session = make_session(tmp_path, [(tracks, np.full(70, 0.5))], duration=2.0)
    ((data, _),) = windows.long_passes([session], config(tmp_path), multiple_frames=10)
    assert data.window.window_frames == 70
    assert windows.EvaluationSource([session], data, batch_size=1).num_windows == 1


def test_a_gap_at_the_end_of_a_short_stream_stays_a_gap(tmp_path):
    class ShortTrack(Track):
        def open(self, cache_dir):
            values = np.ones((5, 3), np.float32)
            return ssi.Stream(values, 25.0, np.array([1, 1, 0, 1, 0], bool))

    session = make_session(tmp_path, [({}, np.full(5, 0.5))], duration=0.2)
    track = ShortTrack(
        feature=FACE, path=tmp_path / "x", rate=25.0, num_frames=5, header_rate=25.0
    )
    person = dataclasses.replace(session.participants[0], tracks={"face": track})
    session = dataclasses.replace(session, participants=(person,))
    source = windows.EvaluationSource(
        [session], config(tmp_path, participants=1), batch_size=1
    )
    valid = source[0].batch["feature_valid"]["face"][0, 0]
    np.testing.assert_array_equal(valid, [True, True, False, True] + [False] * 10)
    values = source[0].batch["features"]["face"][0, 0]
    np.testing.assert_array_equal(values, np.repeat(valid[:, None], 3, axis=1))


def test_what_follows_a_stream_that_stops_early_is_missing(tmp_path):
    tracks = {"face": stream(100, 3, seed=1), "voice": stream(60, 2, seed=2)}
    session = make_session(tmp_path, [(tracks, np.full(100, 0.5))])
    (person,) = session.participants
    voice = dataclasses.replace(person.tracks["voice"], stops_early=True)
    short = dataclasses.replace(person, tracks={**person.tracks, "voice": voice})
    seen = []
    for one in (person, short):
        source = windows.EvaluationSource(
            [dataclasses.replace(session, participants=(one,))],
            config(tmp_path, participants=1),
            batch_size=25,
        )
        (batch, rows) = source[0]
        assert rows.row_valid.all() and batch["feature_valid"]["face"].all()
        seen.append({name: batch[name]["voice"][:, 0] for name in VOICE_ARRAYS})
    held, cut = seen
    assert held["feature_valid"].all()
    # Windows start 4 frames before their cores, which follow each other.
    start = (4 * np.arange(25) - 4) / 25 + cut["first_time"]
    seconds = start[:, None] + np.arange(cut["feature_valid"].shape[1]) / 25
    np.testing.assert_array_equal(cut["feature_valid"], seconds < 60 / 25 - 1e-3)
    assert not cut["features"][~cut["feature_valid"]].any()
    np.testing.assert_array_equal(cut["features"][:10], held["features"][:10])


def test_no_window_says_where_it_looked(tmp_path):
    tracks = {"face": stream(50, 3, seed=1), "voice": stream(50, 2, seed=2)}
    unrated = make_session(tmp_path, [(tracks, None), (tracks, None)])
    data = config(tmp_path)
    with pytest.raises(ValueError, match=r"custom/train.*rated.*001/pos0: no annot"):
        training([unrated], data)
    with pytest.raises(ValueError, match=r"custom/train.*annotation file.*labels_root"):
        windows.EvaluationSource([unrated], data, batch_size=2)
    with pytest.raises(ValueError, match="`sessions`: expected one session or more"):
        training([], data)


def test_arguments_are_checked(tmp_path):
    sessions, data = [dyad(tmp_path)], config(tmp_path, participants=3)
    with pytest.raises(ValueError, match="`batch_size`: .* multiple of .* = 3, got 8"):
        training(sessions, data, process_count=3)
    with pytest.raises(ValueError, match=r"`process_index`: expected \[0, 2\), got 2"):
        training(sessions, data, process_index=2, process_count=2)
    with pytest.raises(ValueError, match="`max_participants`: expected at least"):
        training(sessions, data, max_participants=2)
    source = training(sessions, data)
    with pytest.raises(ValueError, match=r"`start_step`: expected \[0, 100\], got 101"):
        windows.read_batches(source, num_threads=1, start_step=101)
    with pytest.raises(IndexError, match="`step`"):
        source[100]


def test_a_replaced_file_is_noticed(tmp_path):
    session = dyad(tmp_path)
    source = windows.EvaluationSource([session], config(tmp_path), batch_size=2)
    path = session.participants[0].tracks["face"].path
    ssi.write_stream(path, np.zeros((50, 3), np.float32), 25.0)
    with pytest.raises(ValueError, match=r"expected \[100, 3\].*got \[50, 3\]"):
        source[0]


@pytest.mark.parametrize("offset", [0, 52, 4096 + 8])
def test_rows_are_found_in_the_mapping(tmp_path, offset):
    """Reading is announced for the bytes of the rows, wherever the stream starts."""
    values = np.random.default_rng(0).random((3000, 13), np.float32)
    path = tmp_path / "samples"
    path.write_bytes(bytes(offset) + values.tobytes())
    data = np.memmap(path, np.float32, "r", offset=offset, shape=values.shape)
    rows = Rows.of(ssi.Stream(data, 25.0, None))
    start = rows.offset + 2999 * 13 * 4
    assert rows.mapping[start : start + 52] == values[2999].tobytes()
    rows.announce(2990, 20)
    in_memory = Rows.of(ssi.Stream(values, 25.0, None))
    assert in_memory.mapping is None
    in_memory.announce(0, 20)


def test_memory_stays_flat(tmp_path):
    """Anonymous memory does not grow with the part of the corpus that was read."""
    frames, wide = 25_000, dataclasses.replace(FACE, dim=256)
    session = make_session(
        tmp_path, [({}, np.full(frames, 0.5)) for _ in range(2)], duration=frames / 25
    )
    tracks = []
    for seat in range(2):
        path = tmp_path / f"{seat}.stream"
        ssi.write_stream(path, np.zeros((frames, 256), np.float32), 25.0)
        tracks.append(
            Track(
                feature=wide, path=path, rate=25.0, num_frames=frames, header_rate=25.0
            )
        )
    session = dataclasses.replace(
        session,
        participants=tuple(
            dataclasses.replace(person, tracks={"face": track})
            for person, track in zip(session.participants, tracks, strict=True)
        ),
    )
    data = dataclasses.replace(config(tmp_path), features=(wide,))
    source = windows.EvaluationSource([session], data, batch_size=64)
    marks = []
    for index, _ in enumerate(windows.read_batches(source, num_threads=2)):
        if index >= 10:
            marks.append(rss_anon_mb())
    assert len(marks) > 100
    # All that was read: 51 MB of files, 180 MB of batches.
    assert max(marks) - marks[0] < 15


def rss_anon_mb():
    with open("/proc/self/status") as file:
        (line,) = [line for line in file if line.startswith("RssAnon")]
    return int(line.split()[1]) / 1024
