"""How pieces find their way: each goes to every step that wants it, and meets there what it is joined with."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable

from papympi.engine.batching import Columns, Run
from papympi.engine.gathering import Gathers
from papympi.engine.layout import Layout
from papympi.engine.pieces import Interval, Piece, Port, Shared
from papympi.engine.recording import Recorder
from papympi.engine.replaying import Replay
from papympi.engine.retiring import Retirement
from papympi.engine.segment import Ledger, Segment, join_bitmaps
from papympi.engine.weights import Weights
from papympi.plan.plan import Space, Step, Stream
from papympi.transport.bitmap import FULL, normalized, ones


class Router:
    """Takes the pieces that steps made to the steps that want them.

    `post` only puts a piece on the agenda; `settle` works the agenda off. So a chain of any length needs no recursion,
    and a piece is in the store for its children before any of its consumers sees it.

    Attributes:
        retirement: forgets what is past all exits.
        gathers: what closes siblings.
        deliveries: in unordered runs, the pieces that the consumer has not seen: (stream, segment, piece).
        recorder: keeps what is worth it; `None`: nothing is.
        replay: answers for an earlier attempt; `None`: there was none.
    """

    def __init__(
        self, layout: Layout, ledger: Ledger, weights: Weights, put: Callable[[Step, Run], None], *, ordered: bool
    ) -> None:
        self._layout = layout
        self._ledger = ledger
        self._weights = weights
        self.retirement = Retirement(ledger)
        self._put = put
        self._ordered = ordered
        self._agenda: deque[tuple[Stream, Segment, Piece, int]] = deque()
        self.deliveries: deque[tuple[Stream, Segment, Piece]] = deque()
        self.gathers = Gathers(layout, ledger, self.retirement, weights, self.post)
        self.recorder: Recorder | None = None
        self.replay: Replay | None = None

    def remember(self, recorder: Recorder | None, replay: Replay | None) -> None:
        """Keep what comes home, and take what is known from an earlier attempt."""
        self.recorder, self.replay = recorder, replay
        self.gathers.remember(recorder.grow if recorder is not None else None, replay)

    def post(self, stream: Stream, segment: Segment, piece: Piece, failed: int) -> None:
        """Put a piece on the agenda; bit i of `failed` says that its position i holds a `Failure`."""
        self._agenda.append((stream, segment, piece, failed))

    def has_more(self) -> bool:
        """Return whether something is on the agenda."""
        return bool(self._agenda)

    def settle(self) -> None:
        """Take every piece on the agenda where it is wanted, and those that come of it."""
        agenda = self._agenda
        while agenda:
            self._route(*agenda.popleft())

    def _route(self, stream: Stream, segment: Segment, piece: Piece, failed: int) -> None:
        table = self._layout.streams[stream]
        start, stop = piece[:2]
        if self.recorder is not None:
            self.recorder.route(stream, segment, piece, failed)
        if table.deeper:
            segment.store.setdefault(stream, Port()).add(piece)
        for step, number, skips in table.same:
            self._arrive(step, number, segment, _without(piece, failed) if skips and failed else piece)
        for step, chain in table.deeper:
            self._descend(step, segment, (start, stop), chain)
        if table.delivery is not None:
            self._deliver(stream, segment, piece, table.delivery)
        if table.out is not None:
            self.retirement.leave(segment, table.out, start, stop)

    def _deliver(self, stream: Stream, segment: Segment, piece: Piece, exit_: tuple[str, Stream]) -> None:
        start, stop, _, _, valid = piece
        if self._ordered:
            port = segment.results.get(stream)
            if port is None:
                port = segment.results[stream] = Port()
            port.add(piece if valid else (start, stop, None, 0, 0))
        elif valid:
            self.deliveries.append((stream, segment, piece))
        if not valid:
            self.retirement.leave(segment, exit_, start, stop)

    def _arrive(self, step: Step, number: int, segment: Segment, piece: Piece) -> None:
        if step.kind in {"gather", "group", "fold"}:
            self.gathers.arrive(step, segment, piece)
        elif len(step.inputs) == 1:
            self.make_ready(step, Run(segment, piece[0], piece[1], piece[4], ((piece,),)))
        else:
            ports = segment.joins.get(step)
            if ports is None:
                ports = [Port() if stream.space is step.space else None for stream in step.inputs]
                segment.joins[step] = ports
            port = ports[number]
            if port is not None:
                port.add(piece)
            self._match(step, segment, piece[0], piece[1])

    def make_ready(self, step: Step, run: Run) -> None:
        """Queue a run for its step; one without items, or one whose results are known, goes on without a task."""
        if self.replay is None or run.culprits:
            self._queue(step, run)
            return
        for part, is_spared in self.replay.divide(step, run):
            if is_spared:
                self._pass(self.replay, step, part)
            else:
                self._queue(step, part)

    def _pass(self, replay: Replay, step: Step, run: Run) -> None:
        """Let a run go on with what an earlier attempt has made of it."""
        segment, start, stop, *_ = run
        if step.kind != "scatter":
            for stream in step.outputs:
                for piece, failed in replay.pieces(stream, segment, start, stop):
                    self._weights.weigh_piece(stream, piece)
                    self.post(stream, segment, piece, failed)
            return
        children = self.gathers.open_segment(step, segment, start, stop, replay.valid_parents(step, run))
        replay.open_children(step, children)
        self._ledger.bear(children.table.space, children.emitted)
        if children.emitted:
            for piece, failed in replay.pieces(step.outputs[0], children, 0, children.emitted):
                self._weights.weigh_piece(step.outputs[0], piece)
                self.post(step.outputs[0], children, piece, failed)
        self.gathers.grow(children)
        self.retirement.leave(segment, ("use", step), start, stop)

    def _queue(self, step: Step, run: Run) -> None:
        segment, start, stop, valid, *_ = run
        if valid:
            self._put(step, run)
        elif step.kind == "scatter":
            children = self.gathers.open_segment(step, segment, start, stop, 0)
            children.ends = [0] * (stop - start)
            children.closed = True
            self.gathers.grow(children)
            self.retirement.leave(segment, ("use", step), start, stop)
        else:
            for stream in step.outputs:
                self.post(stream, segment, (start, stop, None, 0, 0), 0)

    def _descend(self, step: Step, segment: Segment, interval: Interval, chain: list[Space]) -> None:
        """Match what waits, in the segments below, for the items of an interval."""
        if not chain:
            self._match(step, segment, *interval)
            return
        low, high = interval
        kids = segment.kids.get(chain[0], ())
        at = max(bisect_right(kids, low, key=lambda kid: kid.low) - 1, 0)
        for kid in kids[at : bisect_left(kids, high, key=lambda kid: kid.low)]:
            first, last = max(low, kid.low) - kid.low, min(high, kid.high) - kid.low
            if first < last and first <= len(kid.ends):
                start = kid.first_child(first)
                stop = kid.ends[last - 1] if last <= len(kid.ends) else kid.emitted
                if start < stop:
                    self._descend(step, kid, (start, stop), chain[1:])

    def _match(self, step: Step, segment: Segment, start: int, stop: int) -> None:
        """Queue the positions of start..stop at which every input is there."""
        ports = segment.joins.get(step)
        if ports is None:
            return
        found = [(start, stop)]
        for port in ports:
            if port is not None:
                found = [part for a, b in found for part in port.covered(a, b)]
        for port, stream in zip(ports, step.inputs, strict=True):
            if port is None and found:
                found = _covered_above(stream, segment, found)
        for a, b in found:
            self.make_ready(step, _joined(step, segment, ports, a, b))


def _without(piece: Piece, failed: int) -> Piece:
    """Return a piece whose failed positions are dropped."""
    start, stop, payload, offset, valid = piece
    valid = (ones(stop - start) if valid == FULL else valid) & ~failed
    return (start, stop, payload, offset, valid)


def _joined(step: Step, segment: Segment, ports: list[Port | None], start: int, stop: int) -> Run:
    """Return the run start..stop with what every input has for it; an item that one has dropped is dropped."""
    columns: list[list[Piece] | list[Shared]] = []
    valid = FULL
    for port, stream in zip(ports, step.inputs, strict=True):
        if port is not None:
            pieces = port.take(start, stop)
            part = join_bitmaps(pieces, start)
            columns.append(pieces)
        else:
            shared = shared_above(stream, segment, start, stop)
            part = _join_shared_bitmaps(shared, start)
            columns.append(shared)
        if part != FULL:
            valid = part if valid == FULL else valid & part
    found: Columns = columns
    return Run(segment, start, stop, normalized(valid, stop - start), found)


def _join_shared_bitmaps(shared: list[Shared], start: int) -> int:
    if all(part.piece[4] == FULL for part in shared):
        return FULL
    valid = 0
    for a, b, piece, position in shared:
        if piece[4] == FULL or piece[4] >> (position - piece[0]) & 1:
            valid |= ones(b - a) << (a - start)
    return valid


def _covered_above(stream: Stream, segment: Segment, intervals: list[Interval]) -> list[Interval]:
    """Return the parts of intervals whose ancestors have arrived in a stream from above."""
    found = []
    for a, b in intervals:
        low, high = segment.parent_of(a), segment.parent_of(b - 1) + 1
        if segment.parent is None:
            continue
        if stream.space is segment.table.space.parent:
            port = segment.parent.store.get(stream)
            covered = port.covered(low, high) if port is not None else []
        else:
            covered = _covered_above(stream, segment.parent, [(low, high)])
        for first, last in covered:
            index = last - segment.low
            start = max(a, segment.first_child(first - segment.low))
            stop = min(b, segment.ends[index - 1]) if index <= len(segment.ends) else b
            if start < stop:
                found.append((start, stop))
    return found


def shared_above(stream: Stream, segment: Segment, start: int, stop: int) -> list[Shared]:
    """Return what start..stop have from their ancestors in a stream from above, which must have arrived."""
    found: list[Shared] = []
    while start < stop and segment.parent is not None:
        parent = segment.parent_of(start)
        index = parent - segment.low
        end = min(stop, segment.ends[index]) if index < len(segment.ends) else stop
        if stream.space is segment.table.space.parent:
            piece = segment.parent.store[stream].look(parent)
            if piece is None:
                raise AssertionError(f"{stream!r} has nothing at {parent}")
            found.append(Shared(start, end, piece, parent))
        else:
            above = shared_above(stream, segment.parent, parent, parent + 1)[0]
            found.append(above._replace(start=start, stop=end))
        start = end
    return found
