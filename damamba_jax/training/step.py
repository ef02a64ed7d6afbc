"""Pure function that moves a run on by one step."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from damamba_jax.config.sections import Config
from damamba_jax.models.functional import Statistics
from damamba_jax.runtime.compiler import compiler_options
from damamba_jax.training import optim
from damamba_jax.training.objective import loss_function
from damamba_jax.training.state import TrainState


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
    return jax.jit(step, donate_argnums=0, compiler_options=compiler_options())
