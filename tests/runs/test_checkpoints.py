"""Checkpoints: exact, verified, and never trusted."""

import dataclasses
import gc
import json
import logging
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from example import small_config, unit_statistics

from damamba_jax.config.tree import to_json
from damamba_jax.errors import CheckpointError, ShapeError
from damamba_jax.inference.estimator import load_checkpoint
from damamba_jax.models import functional
from damamba_jax.models.flat_params import FlatParams
from damamba_jax.models.functional import build_model
from damamba_jax.runs import digest
from damamba_jax.runs import workdir as run_folder
from damamba_jax.runs.checkpoints import Checkpoints
from damamba_jax.runs.workdir import read_config
from damamba_jax.schema.statistics import FeatureStatistics
from damamba_jax.training import optim
from damamba_jax.training import state as train_state
from damamba_jax.training.saver import Saver

MODEL = {"average": {"in": {"kernel": np.arange(6.0, dtype=np.float32).reshape(2, 3)}}}
TRAINING = {"step": np.int32(0), "rng": np.array([7, 9], np.uint32)}


def at(step):
    """Trees that differ from step to step."""
    return jax.tree.map(lambda x: jnp.asarray(x + x.dtype.type(step)), MODEL)


def abstract(**trees):
    trees = trees or {"model": at(0), "training": TRAINING}
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(
        x.shape, x.dtype, sharding=jax.sharding.SingleDeviceSharding(jax.devices()[0])
    ), trees)  # fmt: skip


def write(directory, steps=(1, 2), keep=5):
    checkpoints = Checkpoints(directory, keep=keep)
    for step in steps:
        checkpoints.save(step, model=at(step), training=TRAINING, meta={"step": step})
    checkpoints.close()


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    directory = tmp_path_factory.mktemp("saved") / "last"
    write(directory)
    return directory


@pytest.fixture
def copy(saved, tmp_path):
    shutil.copytree(saved, tmp_path / "last")
    return tmp_path / "last"


def restore(directory, keep=5, **trees):
    checkpoints = Checkpoints(directory, keep=keep)
    try:
        return checkpoints.restore_newest(abstract(**trees))
    finally:
        checkpoints.close()


def assert_intact(found, step):
    trees, meta = found
    assert meta == {"step": step}
    jax.tree.map(np.testing.assert_array_equal, trees["model"], at(step))
    jax.tree.map(np.testing.assert_array_equal, trees["training"], TRAINING)


def test_the_newest_step_comes_back_bit_for_bit(saved):
    assert_intact(restore(saved), 2)


def test_an_empty_folder_has_nothing(tmp_path):
    assert restore(tmp_path / "new") is None


def test_only_the_newest_are_kept_and_a_saved_step_stays(tmp_path):
    write(tmp_path / "last", steps=(1, 2, 3), keep=2)
    checkpoints = Checkpoints(tmp_path / "last", keep=2)
    assert checkpoints.steps() == [3, 2]
    checkpoints.save(3, model=at(99), training=TRAINING, meta={"step": 3})
    assert_intact(checkpoints.restore_newest(abstract()), 3)
    checkpoints.drop_after(2)
    assert checkpoints.steps() == [2]
    checkpoints.save(3, model=at(3), training=TRAINING, meta={"step": 3})
    checkpoints.close()
    assert_intact(restore(tmp_path / "last"), 3)


@pytest.fixture
def abandoned():
    """Orbax abandons coroutines when it fails; Python says so on collecting them."""
    yield
    gc.collect()


ignore_abandoned = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)


def test_a_save_that_orbax_declines_is_an_error(tmp_path, monkeypatch):
    checkpoints = Checkpoints(tmp_path / "last", keep=2)
    monkeypatch.setattr(checkpoints._manager, "save", lambda *_, **__: False)
    with pytest.raises(CheckpointError, match="step 1 was not saved"):
        checkpoints.save(1, model=at(1), training=TRAINING, meta={"step": 1})
    checkpoints.close()


def flips(path):
    """Every byte of small files is too slow: the ends, and one in between."""
    size = path.stat().st_size
    rng = np.random.default_rng(size)
    return sorted({0, size - 1, int(rng.integers(size))})


@ignore_abandoned
def test_a_flipped_bit_in_any_file_of_the_newest_step_is_found(
    saved, tmp_path, caplog, abandoned
):
    """The step is intact all the same, or it is put aside for the one before."""
    files = [p.relative_to(saved) for p in (saved / "2").rglob("*") if p.is_file()]
    assert len(files) > 10
    directory = tmp_path / "last"
    outcomes = {}
    caplog.set_level(logging.CRITICAL)
    for name in files:
        for position in flips(saved / name):
            shutil.copytree(saved, directory)
            content = bytearray((directory / name).read_bytes())
            content[position] ^= 1
            (directory / name).write_bytes(content)
            found = restore(directory)
            quarantined = (directory / "quarantine" / "2").is_dir()
            assert_intact(found, 1 if quarantined else 2)
            outcomes.setdefault(str(name), set()).add(quarantined)
            shutil.rmtree(directory)
    # Data, the digest, and the metadata that restoring needs are all covered.
    always = [name for name, seen in outcomes.items() if seen == {True}]
    assert any("/d/" in name for name in always)
    assert "2/meta/metadata" in always


@ignore_abandoned
@pytest.mark.parametrize("how", ["truncated", "emptied", "removed"])
def test_an_incomplete_step_is_put_aside_and_its_number_is_free(copy, how, abandoned):
    data = max((copy / "2" / "model" / "d").iterdir(), key=lambda p: p.stat().st_size)
    if how == "removed":
        data.unlink()
    else:
        data.write_bytes(data.read_bytes()[:20] if how == "truncated" else b"")
    checkpoints = Checkpoints(copy, keep=5)
    assert_intact(checkpoints.restore_newest(abstract()), 1)
    assert [p.name for p in (copy / "quarantine").iterdir()] == ["2"]
    checkpoints.save(2, model=at(2), training=TRAINING, meta={"step": 2})
    checkpoints.close()
    assert_intact(restore(copy), 2)


def test_reading_leaves_a_damaged_step_where_it_is(copy):
    (copy / "2" / "meta" / "metadata").write_text('{"step": 2}')
    (copy / "3.orbax-checkpoint-tmp-1").mkdir()
    before = sorted(copy.rglob("*"))
    assert_intact(restore(copy, keep=None), 1)
    assert sorted(copy.rglob("*")) == before


def test_another_shape_names_the_first_leaf_and_both_shapes(copy):
    other = {"average": {"in": {"kernel": np.zeros((2, 4), np.float32)}}}
    with pytest.raises(ShapeError) as error:
        restore(copy, model=other, training=TRAINING)
    text = str(error.value)
    assert "model.average.in.kernel is float32[2, 3] in the checkpoint" in text
    assert "float32[2, 4] in the configured model" in text
    assert not (copy / "quarantine").exists()
    more = {"average": {**MODEL["average"], "out": np.zeros((1,), np.float32)}}
    with pytest.raises(ShapeError, match=r"model\.average\.out is absent in the"):
        restore(copy, model=more, training=TRAINING)


def test_nothing_is_pickled(saved):
    for path in saved.rglob("*"):
        assert path.suffix not in (".pkl", ".pickle"), path
        if path.is_file():
            assert not path.read_bytes().startswith(b"\x80\x04"), path


def statistics(config):
    units = unit_statistics(config)
    return {name: FeatureStatistics(*arrays) for name, arrays in units.items()}


def moved(x, step):
    """Adds to numbers; of parameters, to those that are no filler."""
    if isinstance(x, FlatParams):
        return FlatParams.from_tree(jax.tree.map(lambda y: y + step, x.to_tree()))
    return x + x.dtype.type(step)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A workdir with steps 1 and 2, the first of which was the best."""
    workdir = tmp_path_factory.mktemp("trained")
    config = small_config(dialogue_blocks=0)
    (workdir / "config.json").write_text(to_json(config))
    _, params = functional.split_model(
        build_model(config.model, config.data, seed=config.seed)
    )
    optimizer = optim.optimizer(config.optim, config.train.steps)
    state = train_state.create(params, optimizer, seed=0)
    saver = Saver(
        workdir, statistics=statistics(config), simulated=True, keep=2
    )  # fmt: skip
    states = {}
    for step in (1, 2):
        states[step] = state._replace(
            step=jnp.int32(step),
            average=moved(state.average, step),
            opt_state=jax.tree.map(
                lambda x: moved(x, step),  # noqa: B023
                state.opt_state,
                is_leaf=lambda x: isinstance(x, FlatParams),
            ),
        )
        saver.save(states[step])
        if step == 1:
            saver.save_best(states[step], {"val_ccc": 0.5})
    saver.close()
    return workdir, config, states


@pytest.fixture
def workdir(trained, tmp_path):
    shutil.copytree(trained[0], tmp_path / "run")
    return tmp_path / "run"


def new_saver(workdir, config):
    return Saver(workdir, statistics=statistics(config), simulated=True, keep=2)


def fresh(trained):
    _, config, states = trained
    return config, jax.tree.map(jnp.zeros_like, states[1])


def test_a_whole_state_comes_back_bit_for_bit(trained, workdir):
    config, zeros = fresh(trained)
    saver = new_saver(workdir, config)
    state, statistics = saver.restore(zeros)
    saver.close()
    jax.tree.map(np.testing.assert_array_equal, state, trained[2][2])
    assert jax.tree.structure(state) == jax.tree.structure(zeros)
    np.testing.assert_array_equal(statistics["egemaps"]["inverse_scale"], np.ones(5))


def test_a_published_state_is_saved_unless_a_later_one_is(trained, workdir):
    config, zeros = fresh(trained)
    saver = new_saver(workdir, config)
    saver.save_held()
    state, _ = saver.restore(zeros)
    for step, expected in ((1, [2, 1]), (7, [7, 2])):
        saver.hold(state._replace(step=jnp.int32(step)))
        saver.save_held()
        saver.save_held()
        assert saver._last.steps() == expected
    saver.close()


def test_a_resumed_run_can_save_a_best_step_again(trained, workdir):
    """A run that is thrown back must not meet its own future."""
    config, zeros = fresh(trained)
    saver = new_saver(workdir, config)
    state, _ = saver.restore(zeros)
    saver.save_best(state._replace(step=jnp.int32(8)), {"val_ccc": 0.6})
    saver.close()
    shutil.rmtree(workdir / "checkpoints" / "last" / "2")
    saver = new_saver(workdir, config)
    state, _ = saver.restore(zeros)
    assert int(state.step) == 1
    saver.save_best(state._replace(step=jnp.int32(4)), {"val_ccc": 0.55})
    saver.close()
    assert load_checkpoint(workdir).step == 4


def test_the_best_checkpoint_is_loaded_and_the_last_is_its_stand_in(trained, workdir):
    _, config, states = trained
    best = load_checkpoint(workdir)
    assert (best.step, best.simulated, best.config) == (1, True, config)
    jax.tree.map(
        np.testing.assert_array_equal, best.params, states[1].average.to_tree()
    )
    last = load_checkpoint(workdir, which="last")
    assert last.step == 2
    (workdir / "checkpoints" / "best" / "1" / "meta" / "metadata").write_text("{")
    assert load_checkpoint(workdir).step == 2
    assert (workdir / "checkpoints" / "best" / "1").is_dir()
    shutil.rmtree(workdir / "checkpoints" / "best")
    assert load_checkpoint(workdir).step == 2
    shutil.rmtree(workdir / "checkpoints")
    with pytest.raises(CheckpointError, match="got none that can be read"):
        load_checkpoint(workdir)


def test_a_model_of_another_shape_is_refused(trained, workdir):
    wider = dataclasses.replace(
        trained[1], model=dataclasses.replace(trained[1].model, dim=16)
    )
    (workdir / "config.json").write_text(to_json(wider))
    with pytest.raises(ShapeError, match=r"model\.average\.\S+ is float32"):
        load_checkpoint(workdir)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected a configuration in JSON"),
        (b"\xff\xfe\x00", "expected a configuration in JSON"),
        (b"[" * 100_000, "expected a configuration in JSON"),
        (b"[1]", "expected a group of fields"),
        (b'{"name": 3}', r"`config\.name`: expected str, got 3"),
        (b'{"nam": "x"}', "did you mean 'name'"),
        (b" " * (run_folder.MAX_CONFIG_BYTES + 1), "expected at most 1048576 bytes"),
    ],
)
def test_a_configuration_is_not_trusted(tmp_path, content, message):
    (tmp_path / "config.json").write_bytes(content)
    for read in (read_config, load_checkpoint):
        with pytest.raises(CheckpointError, match=message):
            read(tmp_path)


def test_a_folder_that_is_no_workdir_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"without config\.json.*--workdir="):
        load_checkpoint(tmp_path / "nothing")


def test_the_digest_covers_names_types_shapes_bytes_and_meta():
    def of(value, meta=1):
        return digest.digest({"model": value}, {"step": meta})

    base = of({"a": np.zeros((2, 3), np.float32)})
    assert of({"a": np.zeros((2, 3), np.float32)}) == base
    for other in (
        {"b": np.zeros((2, 3), np.float32)},
        {"a": np.zeros((3, 2), np.float32)},
        {"a": np.zeros((2, 3), np.int32)},
        {"a": np.array([[0, 0, 0], [0, 0, -0.0]], np.float32)},
    ):
        assert of(other)["model"] != base["model"]
    assert of({"a": np.zeros((2, 3), np.float32)}, meta=2)["meta"] != base["meta"]
    assert json.dumps(base)
