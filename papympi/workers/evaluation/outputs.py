"""Columns on their way home. It stands alone as it needs both calls and columns, and the evaluators both need it."""

from __future__ import annotations

from papympi.transport.task import Output
from papympi.workers.evaluation.calls import Calls
from papympi.workers.evaluation.columns import Column, cut_output, mark_column, positions_of


def make_output(calls: Calls, number: int, column: Column) -> Output:
    """Return a column as an output; what cannot be pickled fails alone."""
    worker, most = calls.worker, calls.task.max_payload
    output = cut_output(column, most)
    if not worker.sends:
        return output
    sound = calls.can_return(column)
    if sound and all(worker.attempt(payload.encode)[1] is None for payload in output.payloads):
        return output
    call = calls.stage.calls[max(number - calls.stage.inputs, 0)]
    for position in positions_of(column.present, len(column.values)):
        column.values[position] = calls.check_sendable(call, position, column.values[position])
    return cut_output(mark_column(column.values, column.present), most)
