"""Devices and processes of a run."""

from collections.abc import Mapping
from typing import Any

import jax
from jax.sharding import NamedSharding, PartitionSpec

from damamba_jax.errors import ConfigError

# An evaluation that takes longer than this is stuck.
EVALUATION_SECONDS = 24 * 3600


def shardings(batch_size: int) -> tuple[NamedSharding, NamedSharding]:
    """Returns the shardings of a batch and of a state.

    The batch is spread over all devices; the state is copied to each device.

    Args:
      batch_size: windows in a batch, over all devices.

    Raises:
      ConfigError: if the devices cannot share a batch evenly.
    """
    devices = jax.device_count()
    if batch_size % devices:
        raise ConfigError(
            f"`train.batch_size`: expected a multiple of the {devices} devices, got "
            f"{batch_size}."
        )
    mesh = jax.make_mesh(
        (devices,), ("data",), axis_types=(jax.sharding.AxisType.Auto,)
    )
    sharded = NamedSharding(mesh, PartitionSpec("data"))
    return sharded, replicate(sharded)


def replicate(sharding: NamedSharding) -> NamedSharding:
    """Returns the sharding that copies arrays to all devices of another sharding."""
    return NamedSharding(sharding.mesh, PartitionSpec())


def place(batch: Mapping[str, Any], sharding: NamedSharding) -> dict[str, Any]:
    """Puts this process's share of a batch onto the devices of the process.

    Args:
      batch: this process's share of each array of the batch.
      sharding: sharding of the whole batch.
    """
    return jax.tree.map(
        lambda x: jax.make_array_from_process_local_data(sharding, x), batch
    )


def join_processes(coordinator: str, *, num_processes: int, process_id: int) -> None:
    """Connects to the other processes of the run, if there are any.

    Args:
      coordinator: HOST:PORT at which the first process listens; empty if the run has
        one process.
      num_processes: number of processes of the run.
      process_id: number of this process, from 0 on.
    """
    if coordinator:
        # JAX's own handler would take SIGTERM from `StopRequest`, and ignore it.
        jax.config.update("jax_enable_preemption_service", False)
        jax.distributed.initialize(
            coordinator,
            num_processes=num_processes,
            process_id=process_id,
            # Otherwise JAX would listen on every network interface.
            coordinator_bind_address=coordinator,
            # At the end, the other processes wait while the first one evaluates.
            shutdown_timeout_seconds=EVALUATION_SECONDS,
        )
