"""Windows that are shown once for all of their people, each of whom is a target.

The model then computes the part that depends on one person alone once for each person,
and not again for each target.
"""

from collections.abc import Sequence

import numpy as np

from damamba_jax.config.sections import DataConfig
from damamba_jax.data.batches.builder import BatchRows
from damamba_jax.data.batches.people import People
from damamba_jax.data.corpus.sessions import Session
from damamba_jax.schema.batch import target_orders


def all_alike(sessions: Sequence[Session], data: DataConfig) -> bool:
    """Says whether all people of each session can be targets of the same windows.

    Everybody must be scored, a window must hold all people of its session, and their
    annotations must be equally long, or all of them missing.
    """
    return data.participants > 1 and all(
        len(session.participants) == data.participants
        and all(one.is_target for one in session.participants)
        and len({one.labels_path is None for one in session.participants}) == 1
        and len({session.num_frames(i) for i in range(data.participants)}) == 1
        for session in sessions
    )


def each_as_target(rows: BatchRows, people: People) -> BatchRows:
    """Repeats each row once for each of its people, who then comes first as target."""
    count = rows.people.shape[1]
    seated = rows.people[:, target_orders(count)].reshape(-1, count)
    return BatchRows(
        people=seated,
        slot=np.repeat(rows.slot, count, axis=0),
        core=np.repeat(rows.core, count),
        row_valid=np.repeat(rows.row_valid, count),
        rated=people.annotations(seated[:, 0]),
    )
