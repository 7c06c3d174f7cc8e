"""Which kind of machine may compute a run that is pinned to one (``--pin-kind``)."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing

from clearsight.data.contract.errors import RunError
from clearsight.data.executors.choice import Backend, executor_for
from clearsight.data.executors.contract import Sent
from clearsight.pipelines.evaluation.plan import Plan
from clearsight.pipelines.evaluation.results import NOT_RECORDED
from clearsight.pipelines.systems.device import kind_of_machine


def pinned_kind(plan: Plan, backend: Backend) -> str:
    """Return the kind of machine that has computed chunks of a run, else that of a machine that would.

    Raises:
        RunError: machines of several kinds have, or it was not recorded.
    """
    folder = plan.job.folder
    kinds = {
        json.loads(folder.timing(cell.key, number).read_bytes()).get("machine", NOT_RECORDED)
        for cell in plan.every_cell
        for number in folder.done_chunks(cell.key)
    }
    if len(kinds) > 1 or NOT_RECORDED in kinds:
        raise RunError(
            f"machines of several kinds have computed this run: {', '.join(sorted(kinds))}",
            where="--pin-kind",
            hint="add --fresh to compute it anew",
        )
    if kinds:
        return str(kinds.pop())
    executor = executor_for((plan.job.device,), 1, where=str(folder.path), backend=backend)
    with closing(executor.map(start_telling, None, (plan.job.device,))) as told:
        _, kind = next(told)
    return kind


def start_telling(job: None) -> Callable[..., str]:
    """Return a function that says which kind of machine it runs on."""

    def tell(device: str, sent: Sent | None = None) -> str:
        return kind_of_machine(device)

    return tell
