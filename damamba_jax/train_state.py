"""The state of a run, and the pure functions that move it on."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from damamba_jax import losses, optim
from damamba_jax.array_types import Array, Float, Int
from damamba_jax.config import Config
from damamba_jax.flat_params import FlatParams

Params = dict[str, Any]
# Per feature: `(center, inverse_scale)`, each [dim].
Statistics = Mapping[str, Any]


class TrainState(NamedTuple):
    """Everything that the next step depends on, besides the data.

    Attributes:
      step: batches consumed, which is also the position in the data.
      params: trained parameters.
      average: their moving average, used for evaluation.
      opt_state: of the optimizer.
      rng: key data of the run; step t draws from `fold_in(rng, t)`.
      skipped: steps without an update, because the loss or a gradient was not finite.
      bad_steps: how many of them came in a row, up to now.
    """

    step: Int[Array, ""]
    params: FlatParams
    average: FlatParams
    opt_state: Any
    rng: Array
    skipped: Int[Array, ""]
    bad_steps: Int[Array, ""]


def create(
    params: Params, optimizer: optax.GradientTransformation, seed: int
) -> TrainState:
    """Makes the state before the first step.

    Args:
      params: of `split_model`.
    """
    zero = jnp.zeros((), jnp.int32)
    flat = jax.tree.map(jnp.asarray, FlatParams.from_tree(params))
    return TrainState(
        step=zero,
        params=flat,
        # A copy: the step donates its input, and one buffer cannot be donated twice.
        average=jax.tree.map(jnp.copy, flat),
        opt_state=optimizer.init(flat),
        rng=jax.random.key_data(jax.random.key(seed)),
        skipped=jnp.copy(zero),
        bad_steps=jnp.copy(zero),
    )


def split_model(model: nnx.Module) -> tuple[nnx.GraphDef, Params]:
    """Splits a model into its structure and a plain dict of parameters."""
    graphdef, params = nnx.split(model, nnx.Param)
    return graphdef, nnx.to_pure_dict(params)


def forward(graphdef, params: Params, batch, statistics: Statistics, **kwargs):
    """Applies the model; keywords are those of its `__call__`."""
    return nnx.merge(graphdef, params)(batch, statistics, **kwargs)


def loss_function(
    config: Config, graphdef, params: Params, statistics: Statistics, batch, key
) -> tuple[Float[Array, ""], dict[str, Array]]:
    """Weighted sum of the losses, and the terms by name.

    `ccc` is that of the score; `group_ccc`, of late fusion alone, the mean of what the
    groups score, which is then trained beside it.
    """
    window = config.data.window
    output = forward(
        graphdef, params, batch, statistics, num_frames=window.window_frames, key=key
    )
    ccc = concordance(config, output.score, batch)
    terms = {"ccc": ccc}
    loss = config.optim.ccc_weight * (1.0 - ccc)
    if output.group_scores is not None:
        each = jnp.stack([concordance(config, s, batch) for s in output.group_scores])
        terms["group_ccc"] = jnp.mean(each)
        loss += config.optim.ccc_weight * (1.0 - terms["group_ccc"])
    if config.optim.infonce_weight:
        terms["infonce"], terms["infonce_aligned"] = _alignment_loss(config, output)
        loss += config.optim.infonce_weight * terms["infonce"]
    return loss, {"loss": loss, **terms}


def _alignment_loss(
    config: Config, output
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """InfoNCE of the core frames, and what perfect alignment would leave of it."""
    window = config.data.window
    num_frames = next(iter(output.alignment.values())).shape[1]
    frame = jnp.arange(num_frames)
    native = min(feature.rate for feature in config.data.features)
    return losses.infonce(
        output.alignment,
        output.group_valid,
        (frame >= window.context_frames)
        & (frame < window.context_frames + window.core_frames),
        block_frames=config.model.chunk_frames,
        min_distance=max(1, round(window.frame_hz / native)),
        temperature=config.optim.infonce_temperature,
    )


def concordance(config: Config, score, batch) -> Float[Array, ""]:
    """Computes the configured CCC of scores, over rated core frames or all rated ones.

    Args:
      config: `optim` says which CCC, and what frames weigh.
      score: [B, Tl], one per label.
      batch: of `data/batches.py`.
    """
    ccc = {"ccc": losses.ccc, "ccc-window": losses.window_ccc}[config.optim.loss]
    core = batch["label_core"]
    if not (config.optim.center_sigma or config.optim.context_weight):
        return ccc(score, batch["label"], batch["label_valid"] & core)
    weight = losses.frame_weights(
        batch["label_time"],
        core,
        window_seconds=config.data.window.window_seconds,
        center_sigma=config.optim.center_sigma,
        context_weight=config.optim.context_weight,
    )
    return ccc(score, batch["label"], batch["label_valid"] & (weight > 0), weight)


def make_train_step(
    config: Config, graphdef, optimizer: optax.GradientTransformation
) -> Callable:
    """Returns `step(state, batch, statistics) -> (state, metrics)`, not yet jitted.

    A step whose loss or gradient is not finite consumes its batch and changes nothing
    else; it is counted in `skipped` and `bad_steps`.
    """
    schedule = optim.learning_rate(config.optim, config.train.steps)
    model = config.model
    random = model.dropout or model.modality_dropout or model.feature_dropout

    def step(state: TrainState, batch, statistics: Statistics):
        rng = jax.random.wrap_key_data(state.rng)
        key = jax.random.fold_in(rng, state.step) if random else None

        def loss_of(params):
            tree = params.to_tree()
            return loss_function(config, graphdef, tree, statistics, batch, key)

        (loss, terms), grads = jax.value_and_grad(loss_of, has_aux=True)(state.params)
        grad_norm = optax.tree.norm(grads)
        finite = jnp.isfinite(loss) & jnp.isfinite(grad_norm)
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        done = state.step - state.skipped
        average = optim.update_average(
            state.average, params, config.optim.ema_decay, done
        )
        bad = jnp.where(finite, 0, 1)
        kept = jax.tree.map(
            lambda new, old: jnp.where(finite, new, old),
            (params, average, opt_state),
            (state.params, state.average, state.opt_state),
        )
        new_state = TrainState(
            state.step + 1,
            *kept,
            state.rng,
            state.skipped + bad,
            jnp.where(finite, 0, state.bad_steps + 1),
        )
        metrics = {
            **terms,
            "grad_norm": grad_norm,
            "lr": jnp.asarray(schedule(done), jnp.float32),
            "skipped": new_state.skipped,
            "bad_steps": new_state.bad_steps,
        }
        return new_state, metrics

    return step


def jit_train_step(
    config: Config, graphdef, optimizer: optax.GradientTransformation
) -> Callable:
    """Jits `make_train_step`, which then gives its state's memory to the new one."""
    step = make_train_step(config, graphdef, optimizer)
    return jax.jit(step, donate_argnums=0, compiler_options=_compiler_options())


def _compiler_options() -> dict[str, bool | int]:
    """XLA's, of whatever is compiled for a whole run."""
    if jax.default_backend() != "gpu":
        return {}
    return {
        # Its Triton kernels are tried out one by one for every product of two matrices,
        # which takes minutes before the first step; cuBLAS has them ready.
        "xla_gpu_enable_triton_gemm": False,
        # It would make one product of those that share an argument, then copy its
        # slices.
        "xla_gpu_dot_merger_threshold_mb": 0,
    }


def make_predict(graphdef, out_sharding=None) -> Callable:
    """Returns the jitted `predict(params, batch, statistics, *, num_frames)`.

    Args:
      graphdef: structure of the model.
      out_sharding: of the scores; wherever XLA leaves them when None.
    """

    @functools.partial(
        jax.jit,
        static_argnames="num_frames",
        out_shardings=out_sharding,
        compiler_options=_compiler_options(),
    )
    def predict(
        params: Params | FlatParams, batch, statistics: Statistics, *, num_frames: int
    ):
        params = params.to_tree() if isinstance(params, FlatParams) else params
        output = forward(graphdef, params, batch, statistics, num_frames=num_frames)
        return output.score

    return predict
