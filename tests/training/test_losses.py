"""Losses against float64 NumPy and naive loops."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from damamba_jax.training import losses


def numpy_ccc(prediction, label, mask):
    p, y = prediction[mask].astype(np.float64), label[mask].astype(np.float64)
    covariance = np.mean((p - p.mean()) * (y - y.mean()))
    return 2 * covariance / (p.var() + y.var() + (p.mean() - y.mean()) ** 2)


@pytest.fixture
def scores():
    rng = np.random.default_rng(0)
    label = rng.uniform(size=(6, 40)).astype(np.float32)
    prediction = 0.6 * label + 0.1 + 0.1 * rng.normal(size=label.shape)
    return prediction.astype(np.float32), label, rng.random(label.shape) < 0.6


def test_ccc_is_that_of_all_masked_entries_together(scores):
    prediction, label, mask = scores
    got = losses.ccc(jnp.asarray(prediction), jnp.asarray(label), jnp.asarray(mask))
    np.testing.assert_allclose(got, numpy_ccc(*scores), rtol=1e-4)
    rows = [numpy_ccc(p, y, m) for p, y, m in zip(*scores, strict=True)]
    assert abs(float(got) - np.mean(rows)) > 1e-3


def test_mean_ccc_is_that_of_the_means_of_the_windows(scores):
    prediction, label, mask = scores
    mask[2] = False  # a window without any rated frame
    got = losses.mean_ccc(*map(jnp.asarray, scores))
    rows = [i for i in range(len(mask)) if mask[i].any()]
    p, y = (np.array([x[i, mask[i]].mean() for i in rows]) for x in (prediction, label))
    expected = numpy_ccc(p, y, np.ones(len(rows), bool))
    np.testing.assert_allclose(got, expected, rtol=1e-2)  # EPSILON counts here
    weight = np.where(np.arange(40) < 20, 1.0, 0.0).astype(np.float32)
    half = losses.mean_ccc(*map(jnp.asarray, scores), jnp.tile(weight, (6, 1)))
    cut = losses.mean_ccc(*(jnp.asarray(x[:, :20]) for x in scores))
    np.testing.assert_allclose(half, cut, rtol=1e-5)


def test_what_is_masked_out_changes_neither_ccc_nor_its_gradient(scores):
    prediction, label, mask = scores
    other = np.where(mask, label, np.nan).astype(np.float32)
    loss = jax.value_and_grad(losses.ccc)
    one, gradient = loss(prediction, jnp.asarray(label), jnp.asarray(mask))
    two, again = loss(prediction, jnp.asarray(other), jnp.asarray(mask))
    assert one == two
    np.testing.assert_array_equal(gradient, again)
    assert not gradient[~mask].any()
    assert gradient[mask].all()


@pytest.mark.parametrize(("value", "expected"), [(0.4, 0.0), (0.5, 0.0)])
def test_ccc_of_constant_labels_is_finite(value, expected):
    label = jnp.full((2, 8), 0.4)
    mask = jnp.ones((2, 8), bool)
    loss = jax.value_and_grad(losses.ccc)
    got, gradient = loss(jnp.full((2, 8), value), label, mask)
    assert got == pytest.approx(expected, abs=1e-6)
    assert np.isfinite(gradient).all()
    got, gradient = loss(label, label, jnp.zeros_like(mask))
    assert got == 0.0
    assert not gradient.any()


def naive_infonce(one, two, valid, anchors, block, min_distance, temperature):
    """Mean over both directions of -log softmax of the positive, frame by frame."""
    one, two = (
        x.astype(np.float64) / np.linalg.norm(x, axis=-1, keepdims=True)
        for x in (one, two)
    )
    directions = []
    for query, key in ((one, two), (two, one)):
        terms = []
        for b, t in np.argwhere(valid & anchors):
            logits = []
            for j in range(t // block * block, t // block * block + block):
                if j == t or (abs(j - t) >= min_distance and valid[b, j]):
                    logits.append(query[b, t] @ key[b, j] / temperature)
            positive = query[b, t] @ key[b, t] / temperature
            terms.append(np.log(np.sum(np.exp(logits))) - positive)
        directions.append(np.mean(terms))
    return np.mean(directions)


def infonce(one, two, valid, anchors, *, block=8, min_distance=2, temperature=0.1):
    return losses.infonce(
        {"audio": jnp.asarray(one), "visual": jnp.asarray(two)},
        {"audio": jnp.asarray(valid), "visual": jnp.ones(valid.shape, bool)},
        jnp.asarray(anchors),
        block_frames=block,
        min_distance=min_distance,
        temperature=temperature,
    )


@pytest.fixture
def embeddings():
    rng = np.random.default_rng(1)
    one, two = rng.normal(size=(2, 3, 24, 5)).astype(np.float32)
    valid = rng.random((3, 24)) < 0.7
    frame = np.arange(24)
    return one, two, valid, (frame >= 6) & (frame < 20)


@pytest.mark.parametrize(("block", "min_distance"), [(8, 1), (8, 3), (24, 4), (4, 4)])
def test_infonce_is_the_naive_loop(embeddings, block, min_distance):
    one, two, valid, anchors = embeddings
    got, _ = infonce(
        one, two, valid, anchors, block=block, min_distance=min_distance
    )  # fmt: skip
    expected = naive_infonce(one, two, valid, anchors, block, min_distance, 0.1)
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-7)


def test_neighbours_of_the_positive_are_no_negatives(embeddings):
    """With every other frame too near, nothing is left to confuse it with."""
    one, two, valid, anchors = embeddings
    got, aligned = infonce(one, two, valid, anchors, min_distance=8)
    assert got == pytest.approx(0.0, abs=1e-6)
    assert aligned == pytest.approx(0.0, abs=1e-6)


def test_equal_groups_reach_the_aligned_loss_and_shifted_ones_do_not(embeddings):
    one, _, valid, anchors = embeddings
    same, aligned = infonce(one, one, valid, anchors)
    assert same == aligned
    shifted, _ = infonce(one, np.roll(one, 3, axis=1), valid, anchors)
    assert shifted > aligned + 1.0


def test_slow_groups_cannot_be_told_apart_frame_by_frame():
    slow = np.repeat(np.random.default_rng(2).normal(size=(2, 1, 5)), 16, axis=1)
    valid, anchors = np.ones((2, 16), bool), np.ones(16, bool)
    _, aligned = infonce(slow.astype(np.float32), slow.astype(np.float32), valid,
                         anchors, min_distance=1)  # fmt: skip
    assert aligned == pytest.approx(np.log(8), rel=1e-5)


def test_infonce_without_a_pair_or_a_frame_is_zero(embeddings):
    one, two, valid, anchors = embeddings
    alone = losses.infonce(
        {"audio": jnp.asarray(one)},
        {"audio": jnp.asarray(valid)},
        jnp.asarray(anchors),
        block_frames=8,
        min_distance=1,
        temperature=0.1,
    )
    assert alone == (0.0, 0.0)
    nothing = np.zeros_like(valid)
    gradient = jax.grad(lambda x: infonce(x, two, nothing, anchors)[0])(one)
    assert infonce(one, two, nothing, anchors) == (0.0, 0.0)
    assert not np.asarray(gradient).any()


def test_a_zero_embedding_has_a_finite_gradient(embeddings):
    one, two, valid, anchors = embeddings
    one = one.copy()
    one[0, 8] = 0.0
    gradient = jax.grad(lambda x: infonce(x, two, valid, anchors)[0])(one)
    assert np.isfinite(gradient).all()


def weighted_numpy_ccc(prediction, label, weight):
    p, y = prediction.astype(np.float64), label.astype(np.float64)
    mean_p, mean_y = np.average(p, weights=weight), np.average(y, weights=weight)
    covariance = np.average((p - mean_p) * (y - mean_y), weights=weight)
    spread = sum(
        np.average((v - m) ** 2, weights=weight) for v, m in ((p, mean_p), (y, mean_y))
    )
    return 2 * covariance / (spread + (mean_p - mean_y) ** 2)


def test_weights_count_in_every_moment(scores):
    prediction, label, mask = scores
    weight = np.random.default_rng(3).uniform(0.1, 2.0, mask.shape).astype(np.float32)
    arrays = [jnp.asarray(v) for v in (prediction, label, mask, weight)]
    expected = weighted_numpy_ccc(prediction, label, weight * mask)
    np.testing.assert_allclose(losses.ccc(*arrays), expected, rtol=1e-4)
    # Weights are relative.
    scaled = losses.ccc(*arrays[:3], 1e-3 * arrays[3])
    np.testing.assert_allclose(scaled, expected, rtol=1e-4)
    assert losses.ccc(*arrays[:3]) == losses.ccc(*arrays[:3], jnp.ones(mask.shape))
    assert abs(expected - numpy_ccc(*scores)) > 1e-3


def test_window_ccc_is_the_mean_over_windows(scores):
    prediction, label, mask = scores
    mask[4] = False
    mask[5] = np.arange(40) == 7
    got = losses.window_ccc(*(jnp.asarray(v) for v in scores))
    rows = [numpy_ccc(*(v[i] for v in scores)) for i in range(4)]
    np.testing.assert_allclose(got, np.mean(rows), rtol=5e-3)
    weight = np.ones(mask.shape, np.float32)
    weight[:, 20:] = 0.2
    rows = [weighted_numpy_ccc(*row) for row in zip(
        prediction[:4], label[:4], (weight * mask)[:4], strict=True)]  # fmt: skip
    got = losses.window_ccc(*(jnp.asarray(v) for v in (*scores, weight)))
    np.testing.assert_allclose(got, np.mean(rows), rtol=5e-3)


def test_window_ccc_asks_for_the_course_within_windows():
    """Levels that are right make the batch CCC high, and leave each window's at 0."""
    rng = np.random.default_rng(4)
    course = 0.05 * rng.normal(size=(8, 32))
    level = np.linspace(0.1, 0.9, 8)[:, None]
    label = jnp.asarray(level + course, jnp.float32)
    prediction = jnp.asarray(np.repeat(level, 32, axis=1), jnp.float32)
    mask = jnp.ones(label.shape, bool)
    assert losses.ccc(prediction, label, mask) > 0.95
    assert abs(losses.window_ccc(prediction, label, mask)) < 0.05


def test_window_ccc_of_constant_and_empty_windows_has_a_finite_gradient():
    label = jnp.asarray([[0.4] * 6, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6], [0.0] * 6])
    mask = jnp.asarray([[True] * 6, [True] * 6, [False] * 6])
    start = jnp.full((3, 6), 0.4) + 0.01 * jnp.arange(6.0)[None]
    loss = jax.value_and_grad(losses.window_ccc)
    for prediction in (start, label):
        value, gradient = loss(prediction, label, mask)
        assert np.isfinite(value) and np.isfinite(gradient).all()
        np.testing.assert_allclose(gradient[0], 0.0, atol=1e-6)
        assert not gradient[2].any()
    assert loss(start, label, mask)[1][1].any()
    value, gradient = loss(start, label, jnp.zeros_like(mask))
    assert value == 0.0 and not gradient.any()


def test_frames_weigh_less_towards_the_ends_of_the_window():
    time = jnp.arange(24.0)[None] / 25
    core = (jnp.arange(24) >= 8) & (jnp.arange(24) < 16)
    options = {"window_seconds": 24 / 25, "center_sigma": 0.5}
    weight = losses.frame_weights(time, core[None], **options, context_weight=0.1)[0]
    assert jnp.argmax(weight) == 12 and weight[12] == 1.0
    # One deviation, half of half a window, lies outside the core.
    assert weight[18] == pytest.approx(0.1 * np.exp(-0.5), rel=1e-5)
    assert weight[8] == pytest.approx(np.exp(-0.5 * (8 / 12 - 1) ** 2 / 0.25), rel=1e-5)
    assert (weight[9:13] > weight[8:12]).all() and (weight[13:16] < weight[12:15]).all()
    options["center_sigma"] = 0.0
    flat = losses.frame_weights(time, core[None], **options, context_weight=0.1)[0]
    np.testing.assert_allclose(flat, np.where(core, 1.0, 0.1), rtol=1e-6)


def test_cross_entropy_of_frames_and_of_windows():
    rng = np.random.default_rng(0)
    probability = rng.dirichlet([1.0, 1.0, 1.0], (2, 5))
    label = np.array([[0, 1, 2, 1, 0], [2, 2, 2, 2, 2]], np.float32)
    mask = np.array([[1, 1, 0, 1, 1], [1, 0, 1, 1, 0]], bool)
    weight = np.where(label == 2, 3.0, 0.5).astype(np.float32)
    arrays = [jnp.asarray(x) for x in (np.log(probability), label, mask, weight)]
    arrays[0] = arrays[0].astype(jnp.float32)
    chosen = np.take_along_axis(probability, label[..., None].astype(int), -1)[..., 0]
    expected = -np.sum((weight * np.log(chosen))[mask]) / mask.sum()
    assert losses.cross_entropy(*arrays) == pytest.approx(expected, rel=1e-5)
    of_window = [
        weight[i][mask[i]].mean() * np.log(chosen[i][mask[i]].mean()) for i in range(2)
    ]
    found = losses.mean_cross_entropy(*arrays)
    assert found == pytest.approx(-np.mean(of_window), rel=1e-5)


@pytest.mark.parametrize("loss", ["cross_entropy", "mean_cross_entropy"])
def test_a_batch_of_one_class_is_no_wasted_step(loss):
    logits = jnp.zeros((2, 4, 3))
    label, weight = jnp.ones((2, 4)), jnp.ones((2, 4))
    mask = jnp.array([[True] * 4, [False] * 4])

    def of(logits):
        return getattr(losses, loss)(jax.nn.log_softmax(logits), label, mask, weight)

    value, slope = jax.value_and_grad(of)(logits)
    assert value == pytest.approx(np.log(3), rel=1e-5)
    # It goes up for the class that was there; a window without labels has no say.
    assert (slope[0, :, 1] < 0).all() and (slope[0, :, 0] > 0).all()
    np.testing.assert_array_equal(slope[1], 0.0)
