"""The training step: a pure function that takes a run one step further."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, cast

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax.sharding import NamedSharding

from damamba_jax.array_types import Array, Bool
from damamba_jax.config.sections import DataConfig, OptimConfig
from damamba_jax.config.systems import SystemConfig
from damamba_jax.models.flat_params import FlatParams
from damamba_jax.models.functional import Statistics, abstract_model
from damamba_jax.runtime.compiler import compiler_options
from damamba_jax.runtime.programs import Program, Shapes
from damamba_jax.schema.statistics import abstract_statistics
from damamba_jax.training import optim
from damamba_jax.training.objective import (
    Objective,
    loss_function,
    make_objective,
)
from damamba_jax.training.state import TrainState, create

Step = Callable[[TrainState, Mapping[str, Any], Statistics], Any]


def make_train_step(
    graphdef: nnx.GraphDef,
    optimizer: optax.GradientTransformation,
    *,
    objective: Objective,
    num_steps: int,
    is_random: bool,
) -> Step:
    """Returns `step(state, batch, statistics) -> (state, metrics)`, not yet jitted.

    A step whose loss or gradient is not finite consumes its batch and changes neither
    parameters nor optimizer. Such steps are counted in `skipped` and `bad_steps`.

    Args:
      graphdef: the structure of the model.
      optimizer: the transformation of the gradients.
      objective: the loss that is minimised.
      num_steps: the number of steps of the run, for the learning rate that is logged.
      is_random: whether the model draws random numbers in training.
    """
    schedule = optim.learning_rate(objective.optim, num_steps)

    def step(
        state: TrainState, batch: Mapping[str, Any], statistics: Statistics
    ) -> tuple[TrainState, dict[str, Array]]:
        rng = jax.random.wrap_key_data(state.rng)
        key = jax.random.fold_in(rng, state.step) if is_random else None

        def loss_of(params: FlatParams) -> tuple[Array, dict[str, Array]]:
            tree = params.to_tree()
            return loss_function(objective, graphdef, tree, statistics, batch, key)

        (loss, terms), grads = jax.value_and_grad(loss_of, has_aux=True)(state.params)
        grad_norm = optax.tree.norm(grads)
        finite = jnp.isfinite(loss) & jnp.isfinite(grad_norm)
        done = state.step - state.skipped
        new_state = _update(
            state, grads, finite, optimizer, decay=objective.optim.ema_decay
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


def _update(
    state: TrainState,
    grads: FlatParams,
    finite: Bool[Array, ""],
    optimizer: optax.GradientTransformation,
    *,
    decay: float,
) -> TrainState:
    """Updates parameters and their average, unless loss or gradient are not finite."""
    # Optax takes any tree, but has no type for any tree.
    old, found = cast(optax.Params, state.params), cast(optax.Updates, grads)
    updates, opt_state = optimizer.update(found, state.opt_state, old)
    params = cast(FlatParams, optax.apply_updates(old, updates))
    done = state.step - state.skipped
    average = optim.update_average(state.average, params, decay, done)
    bad = jnp.where(finite, 0, 1)
    params, average, opt_state = jax.tree.map(
        lambda new, old: jnp.where(finite, new, old),
        (params, average, opt_state),
        (state.params, state.average, state.opt_state),
    )
    return TrainState(
        step=state.step + 1,
        params=params,
        average=average,
        opt_state=opt_state,
        rng=state.rng,
        skipped=state.skipped + bad,
        bad_steps=jnp.where(finite, 0, state.bad_steps + 1),
    )


def jit_train_step(
    model: SystemConfig,
    data: DataConfig,
    optim_config: OptimConfig,
    *,
    num_steps: int,
    platform: str | None = None,
) -> Step:
    """Builds and jits the step of a configuration.

    The step reuses the memory of the state that it gets, so that this state cannot be
    used again.

    Args:
      model, data: the system, and the configuration of its batches.
      optim_config: the optimizer, its schedule and the losses.
      num_steps: the number of steps of the run.
      platform: the platform that the program is meant for; `None` means the platform of
        this machine.
    """
    step = _build_step(model, data, optim_config, num_steps, platform)
    options = compiler_options(platform)
    return jax.jit(step, donate_argnums=0, compiler_options=options)


def compile_step(
    model: SystemConfig,
    data: DataConfig,
    optim_config: OptimConfig,
    *,
    num_steps: int,
    batch: Shapes,
    replicated: NamedSharding,
) -> Step:
    """Starts to compile the step of `jit_train_step`. The first call waits for it.

    Args:
      model, data, optim_config, num_steps: the arguments of `jit_train_step` with these
        names.
      batch: the shapes of the batches, with their sharding.
      replicated: the sharding of the state.
    """
    step = _build_step(model, data, optim_config, num_steps)
    _, params = abstract_model(model, data)
    optimizer = optim.optimizer(optim_config, num_steps)
    created = functools.partial(create, optimizer=optimizer, seed=0)
    state = Shapes.of(jax.eval_shape(created, params), replicated)
    statistics = Shapes.of(abstract_statistics(data.features))

    def run(leaves: list[Array], batch: Any, center_and_scale: list[Array]) -> Any:
        new_state, metrics = step(
            state.structure.unflatten(leaves),
            batch,
            statistics.structure.unflatten(center_and_scale),
        )
        return jax.tree.leaves(new_state), metrics

    program = Program(
        run,
        (list(state.leaves), batch.tree, list(statistics.leaves)),
        name="step",
        key=repr((model, data.for_programs(), optim_config, num_steps)),
        donate_argnums=0,
        compiler_options=compiler_options(None),
    )

    def call(
        current: TrainState, batch: Mapping[str, Any], statistics: Statistics
    ) -> tuple[TrainState, dict[str, Array]]:
        leaves, metrics = program(
            jax.tree.leaves(current), batch, jax.tree.leaves(statistics)
        )
        return state.structure.unflatten(leaves), metrics

    return call


def _build_step(
    model: SystemConfig,
    data: DataConfig,
    optim_config: OptimConfig,
    num_steps: int,
    platform: str | None = None,
) -> Step:
    graphdef, _ = abstract_model(model, data, platform)
    return make_train_step(
        graphdef,
        optim.optimizer(optim_config, num_steps),
        objective=make_objective(data, model, optim_config),
        num_steps=num_steps,
        is_random=model.is_random,
    )
