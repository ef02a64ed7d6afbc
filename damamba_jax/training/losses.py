"""Losses: agreement of scores with labels, and alignment of modality groups."""

import itertools

import jax
import jax.numpy as jnp

from damamba_jax.array_types import Array, Bool, Float

# This keeps the CCC defined on a batch of constant labels.
EPSILON = 1e-6
# The same for a single window, but larger. Labels with a spread below 0.01 are in fact
# constant and only the annotator's hand moved. CCC would magnify that noise.
WINDOW_EPSILON = 1e-4


def ccc(
    prediction: Float[Array, "B T"],
    label: Float[Array, "B T"],
    mask: Bool[Array, "B T"],
    weight: Float[Array, "B T"] | None = None,
) -> Float[Array, ""]:
    """Concordance correlation coefficient over all masked entries of a batch.

    It is `2 cov(p, y) / (var(p) + var(y) + (mean(p) - mean(y))^2 + EPSILON)` with
    population moments (Lin 1989). The official metric in `metrics/ccc.py` pools whole
    test sets in float64 instead.

    Args:
      prediction: the scores.
      label: the annotations.
      mask: whether an entry counts.
      weight: the weight of each entry in all moments; `None` gives all the same weight.
    """
    return _concordance(prediction, label, mask, weight, None, EPSILON)


def window_ccc(
    prediction: Float[Array, "B T"],
    label: Float[Array, "B T"],
    mask: Bool[Array, "B T"],
    weight: Float[Array, "B T"] | None = None,
) -> Float[Array, ""]:
    """Computes the CCC of each window by itself, and averages over windows.

    Windows with fewer than two masked entries do not count. This loss rewards the
    course of the score within a window. `ccc` hardly sees that course if the windows
    differ in their level. A window whose labels are constant has CCC 0 and no gradient.
    """
    values = _concordance(prediction, label, mask, weight, 1, WINDOW_EPSILON)
    counted = (jnp.sum(mask, axis=1) >= 2).astype(jnp.float32)
    return jnp.sum(values * counted) / jnp.maximum(jnp.sum(counted), 1.0)


def mean_ccc(
    prediction: Float[Array, "B T"],
    label: Float[Array, "B T"],
    mask: Bool[Array, "B T"],
    weight: Float[Array, "B T"] | None = None,
) -> Float[Array, ""]:
    """Computes the CCC over the means of the windows.

    Each window counts with its mean prediction and its mean label, which suits turns
    that were rated as a whole. A window without any masked entry does not count.
    """
    share = mask.astype(jnp.float32)
    if weight is not None:
        share = share * weight
    total = jnp.sum(share, axis=1, keepdims=True)
    there = total > 0
    share = share / jnp.where(there, total, 1.0)
    prediction, label = (
        jnp.sum(x * share, axis=1, keepdims=True)
        for x in (prediction, jnp.where(mask, label, 0.0))
    )
    return _concordance(prediction, label, there, None, None, EPSILON)


def cross_entropy(
    log_probability: Float[Array, "B T K"],
    label: Float[Array, "B T"],
    mask: Bool[Array, "B T"],
    weight: Float[Array, "B T"],
) -> Float[Array, ""]:
    """Computes the mean of `-w log p(label)` over the masked entries.

    The sum is divided by the number of entries, not by the sum of their weights. A
    batch that holds only a rare class thus counts for more than a batch that holds only
    a frequent class.

    Args:
      log_probability: the log-probability of each class.
      label: the number of the annotated class.
      mask: whether an entry counts.
      weight: the weight of each entry.
    """
    chosen = _of_label(log_probability, label, mask)
    share = mask.astype(jnp.float32)
    return -jnp.sum(chosen * weight * share) / jnp.maximum(jnp.sum(share), 1.0)


def mean_cross_entropy(
    log_probability: Float[Array, "B T K"],
    label: Float[Array, "B T"],
    mask: Bool[Array, "B T"],
    weight: Float[Array, "B T"],
) -> Float[Array, ""]:
    """Computes the mean over windows of `-w log p(label)`, `p` averaged over a window.

    It suits turns that were rated as a whole, where all entries of a window have the
    same label. A window without any masked entry does not count.
    """
    chosen = _of_label(log_probability, label, mask)
    count = jnp.sum(mask, axis=1)
    there = (count > 0).astype(jnp.float32)
    size = jnp.maximum(count, 1).astype(jnp.float32)
    # For a window without entries this would be log 0, whose gradient is not finite.
    chosen = jnp.where(mask | (count == 0)[:, None], chosen, -jnp.inf)
    mean = jax.nn.logsumexp(chosen, axis=1) - jnp.log(size)
    weight = jnp.sum(jnp.where(mask, weight, 0.0), axis=1) / size
    return -jnp.sum(mean * weight * there) / jnp.maximum(jnp.sum(there), 1.0)


def _of_label(
    log_probability: Float[Array, "B T K"],
    label: Float[Array, "B T"],
    mask: Bool[Array, "B T"],
) -> Float[Array, "B T"]:
    """Takes the log-probability of the annotated class, or 0 where nothing is rated."""
    number = jnp.where(mask, label, 0.0).astype(jnp.int32)
    found = jnp.take_along_axis(log_probability, number[..., None], axis=-1)
    return jnp.where(mask, found[..., 0], 0.0)


def frame_weights(
    time: Float[Array, "B T"],
    core: Bool[Array, "B T"],
    *,
    window_seconds: float,
    center_sigma: float,
    context_weight: float,
) -> Float[Array, "B T"]:
    """Computes the weights of a window's frames.

    They are a Gaussian around the middle of the window. Frames outside of the core have
    `context_weight` as a further factor.

    Args:
      time: the seconds from the window's start.
      core: whether a frame belongs to the core.
      window_seconds: the length of the window.
      center_sigma: the standard deviation of the Gaussian, in half windows; 0 means no
        Gaussian.
      context_weight: the factor of the frames outside of the core.
    """
    weight = jnp.where(core, 1.0, jnp.float32(context_weight))
    if center_sigma:
        half = window_seconds / 2.0
        distance = (time - half) / (half * center_sigma)
        weight = weight * jnp.exp(-0.5 * distance * distance)
    return weight


def _concordance(prediction, label, mask, weight, axis, epsilon):
    """Computes the CCC over `axis`, or over all axes if it is None."""
    total_weight = mask.astype(jnp.float32)
    if weight is not None:
        total_weight = total_weight * weight
    keep = axis is not None
    total = jnp.sum(total_weight, axis=axis, keepdims=keep)
    total = jnp.where(total > 0, total, 1.0)

    def mean(x):
        return jnp.sum(x * total_weight, axis=axis, keepdims=keep) / total

    label = jnp.where(mask, label, 0.0)
    mean_p, mean_y = mean(prediction), mean(label)
    dp, dy = prediction - mean_p, label - mean_y
    value = (
        2.0
        * mean(dp * dy)
        / (mean(dp * dp) + mean(dy * dy) + (mean_p - mean_y) ** 2 + epsilon)
    )
    return jnp.squeeze(value, axis) if keep else value


def infonce(
    embeddings: dict[str, Float[Array, "B T A"]],
    valid: dict[str, Bool[Array, "B T"]],
    anchors: Bool[Array, "T"],
    *,
    block_frames: int,
    min_distance: int,
    temperature: float,
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Computes symmetric InfoNCE of each frame between the groups of one person.

    The positive of a frame is the same frame of the other group. The negatives are the
    other group's frames of the same block that are at least `min_distance` frames away.
    Nearer frames are interpolated from the same samples, so that they are copies and
    not negatives. Memory is linear in time.

    Args:
      embeddings: the embeddings of each modality group. They are normalised here.
      valid: for each group, the frames at which it has data.
      anchors: the frames that are compared, which are those of the core.
      block_frames: the number of frames of a block. It must divide `T`.
      min_distance: the smallest distance of a negative, in frames.
      temperature: the temperature of the cosine similarities.

    Returns:
      The loss, and the loss under perfect alignment, for which each group is compared
      with itself. Slow cues keep the second one far above zero.
    """
    unit = {
        group: x / jnp.sqrt(jnp.sum(x * x, axis=-1, keepdims=True) + 1e-12)
        for group, x in embeddings.items()
    }
    both, single = [], []
    for one, two in itertools.combinations(unit, 2):
        mask = valid[one] & valid[two] & anchors[None]
        args = (valid[one] & valid[two], mask, block_frames, min_distance, temperature)
        both += [_nce(unit[one], unit[two], *args), _nce(unit[two], unit[one], *args)]
        single += [_nce(unit[one], unit[one], *args), _nce(unit[two], unit[two], *args)]
    if not both:
        return jnp.float32(0.0), jnp.float32(0.0)
    return jnp.mean(jnp.stack(both)), jnp.mean(jnp.stack(single))


def _nce(query, key, valid, mask, block, min_distance, temperature):
    """Computes the mean cross-entropy of finding the frame of `key` for each query."""
    batch, length, dim = query.shape
    query = query.reshape(batch, length // block, block, dim)
    key = key.reshape(batch, length // block, block, dim)
    valid = valid.reshape(batch, length // block, block)
    similarity = jnp.einsum("bnic,bnjc->bnij", query, key) / temperature
    frame = jnp.arange(block)
    distance = jnp.abs(frame[:, None] - frame[None, :])
    negative = (distance >= min_distance)[None, None] & valid[:, :, None, :]
    candidate = negative | (distance == 0)[None, None]
    positive = jnp.diagonal(similarity, axis1=-2, axis2=-1)
    logits = jnp.where(candidate, similarity, -jnp.inf)
    loss = jax.nn.logsumexp(logits, axis=-1) - positive
    weight = mask.reshape(loss.shape).astype(jnp.float32)
    return jnp.sum(loss * weight) / jnp.maximum(jnp.sum(weight), 1.0)
