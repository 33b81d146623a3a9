"""Plays a case: runs its graph in several ways, and compares what comes with the evaluator and with the first run."""

from __future__ import annotations

import gc
import random
import tempfile
import threading
import time
import warnings
from collections import Counter
from contextlib import ExitStack
from itertools import groupby, islice, product
from pathlib import Path
from typing import Any

from papympi import Failure, GraphError, JournalOptions, NodeError, StateError
from papympi.runner.run import Run
from tests.fuzz import commands, naive
from tests.fuzz.building import build, spread_where_needed, start
from tests.fuzz.findings import Finding, Leftovers, Wrong, classify, insist, tell_difference
from tests.fuzz.naive import Failed, Naive
from tests.fuzz.specs import Case, Step
from tests.fuzz.values import Damaged, plain

MOST_ITEMS = {"light": 20_000, "processes": 5_000, "crash": 1_500, "hang": 1_500, "mpi": 4_000}
"""How large a case may be."""
MOST_TO_REPEAT = 300
"""How large a case may be that is evaluated again and again, to find out where a run was stopped."""
Entry = tuple[str, tuple[int, ...], Any]


def read_entry(entry: Any) -> Entry:
    """Return a result or a failure as the evaluator has it."""
    if isinstance(entry, Failure):
        return entry.target, entry.place, Failed(entry.node, entry.key)
    return entry.node, entry.key, plain(entry.value, mutates=True)


class Player:
    """Plays one case, and says what is wrong by raising `Wrong`.

    Attributes:
        mode: what it is doing.
    """

    def __init__(self, case: Case) -> None:
        self.case, self.naive, self.mode = case, Naive(case), "full"
        self.first: list[Entry] = []

    def play(self) -> None:
        """Play all steps, behind a run that is as plain as can be."""
        if self.case.profile in {"resume", "shards"}:
            for step in self.case.steps:
                self.mode = step.mode
                getattr(commands, f"play_{step.mode}")(self.case, step, self.naive)
            return
        for step in (Step("full", 0), *self.case.steps):
            self.mode = step.mode
            with tempfile.TemporaryDirectory(prefix="fuzz-") as folder, ExitStack() as stack:
                self._folder, self._stack = Path(folder), stack
                getattr(self, f"_play_{step.mode}")(step)

    def _start(self, step: Step, **options: Any) -> Run:
        (self._folder / "tries").mkdir(exist_ok=True)
        return start(self.case, step, self._stack, str(self._folder / "tries"), **{"errors": "keep", **options})

    def _play_full(self, step: Step) -> None:
        running = self._start(step)
        found = [read_entry(entry) for entry in running.results()]
        self._compare(found)
        self._check_failures(running)
        running.close()
        if step.number == 0:
            self.first = found
            self._check_turns(found)
        self._same(found, self.first)

    def _play_unordered(self, step: Step) -> None:
        running = self._start(step, ordered=False)
        found = [read_entry(entry) for entry in running.results()]
        self._compare(sorted(found, key=lambda entry: entry[:2]))
        self._check_failures(running)

    def _same(self, found: list[Entry], wanted: list[Entry]) -> None:
        insist(found == wanted, f"the order or the results: {tell_difference(found, wanted)}")

    def _compare(self, found: list[Entry]) -> None:
        for target in self.case.targets:
            mine = [(key, value) for node, key, value in found if node == target]
            wanted = self.naive.list_target(target)
            insist(mine == wanted, f"target: {target} {tell_difference(mine, wanted)}")

    def _check_failures(self, running: Run) -> None:
        unsure = self.naive.unsure
        found = Counter((failure.node, failure.key) for failure in running.failures)
        wanted = self.naive.failures
        lost = {call for call in wanted - found if call[0] not in unsure}
        more = {call for call in found - wanted if call[0] not in unsure}
        insist(not lost and not more, f"failures: missing {sorted(lost)}, unexpected {sorted(more)}")
        for failure in running.failures if self.case.profile in {"light", "processes", "mpi"} else ():
            most = self.case.find(failure.node).retries + 1
            insist(failure.attempts == most, f"attempts: {failure.node} {failure.attempts}, wanted {most}")
        counts = running.statistics()
        insist(counts.live == 0, f"items that live at the end: {counts.live}")
        for name, count in counts.nodes.items():
            listed = sum(number for (node, _), number in found.items() if node == name)
            insist(count.failed == listed, f"failed items that are counted: {name} {count.failed}, listed {listed}")

    def _check_turns(self, found: list[Entry]) -> None:
        """Look whether rows of independent components come as the documentation says."""
        rows = naive.find_turns(self.case)
        spaces = self.naive.spaces
        heads = [
            (rows.index(spaces[node][0]), key[0]) for node, key, _ in found if spaces[node][:1] in [(r,) for r in rows]
        ]
        heads = [head for head, _ in groupby(heads)]
        wanted = sorted(heads, key=lambda head: (head[1], head[0]) if naive.TURNS else head)
        insist(heads == wanted, f"turns: {tell_difference(heads, wanted)}")

    def _play_drop(self, step: Step) -> None:
        found = [read_entry(entry) for entry in self._start(step, errors="drop").results()]
        self._same(found, [entry for entry in self.first if not isinstance(entry[2], Failed)])

    def _play_raise(self, step: Step) -> None:
        found, error = [], None
        try:
            for entry in self._start(step, errors="raise").results():
                found.append(read_entry(entry))  # noqa: PERF401 - what came before the error counts
        except NodeError as caught:
            error = (caught.node, tuple(caught.key))
        bad = [at for at, entry in enumerate(self.first) if isinstance(entry[2], Failed)]
        if not bad:
            insist(error is None, f"raised, although no failure is delivered: {error}")
            self._same(found, self.first)
            return
        insist(error is not None, f"nothing was raised: wanted {self.first[bad[0]]}")
        insist(len(found) <= bad[0], f"results behind the first failure: {found[bad[0] :][:3]}")
        self._same(found, self.first[: len(found)])
        wanted = self.first[bad[0]][2]
        insist(error == (wanted.node, wanted.key), f"another failure was raised: {error}, wanted {wanted}")

    def _take(self, running: Run, step: Step) -> tuple[Any, list[Entry], int]:
        many = random.Random(step.number).randint(0, max(1, len(self.first)))
        results = running.results()
        found = [read_entry(entry) for entry in islice(results, many)]
        self._same(found, self.first[: len(found)])
        insist(len(found) == min(many, len(self.first)), f"too few before the end: {len(found)}, wanted {many}")
        return results, found, many

    def _play_now(self, step: Step) -> None:
        running = self._start(step)
        results, found, _ = self._take(running, step)
        running.stop(now=True)
        found += [read_entry(entry) for entry in results]
        self._same(found, self.first[: len(found)])

    def _play_stop(self, step: Step) -> None:
        """Stop, and look whether what was read has come out of every node, as if the inputs ended there."""
        running = self._start(step)
        results, found, _ = self._take(running, step)
        running.stop()
        found += [read_entry(entry) for entry in results]
        by_target = {target: [entry[1:] for entry in found if entry[0] == target] for target in self.case.targets}
        if self.naive.count_items() < MOST_TO_REPEAT:
            sizes = {spec.row: spec.size for spec in self.case.specs if spec.row}
            ends = (
                dict(zip(sizes, each, strict=True)) for each in product(*(range(s, -1, -1) for s in sizes.values()))
            )
            insist(any(self._is(by_target, Naive(self.case, each)) for each in ends), f"stopped: {by_target}")

    def _is(self, found: dict[str, list[Any]], wanted: Naive) -> bool:
        return all(values == wanted.list_target(target) for target, values in found.items())

    def _play_close(self, step: Step) -> None:
        running = self._start(step)
        results, found, many = self._take(running, step)
        how = random.Random(step.number).choice(["close", "cancel", "forget"])
        if how == "forget":
            del running, results
            gc.collect()
            return
        getattr(running, how)()
        if len(found) == many <= len(self.first):
            try:
                more = next(results, None)
            except StateError:
                return
            insist(more is None and many == len(self.first), f"a run that was closed goes on or seems to end: {more}")

    def _play_pause(self, step: Step) -> None:
        running, over = self._start(step), threading.Event()

        def disturb() -> None:
            chance = random.Random(step.number)
            while not over.wait(chance.random() * 0.01):
                try:
                    running.pause()
                    time.sleep(chance.random() * 0.005)
                    running.resume()
                except StateError:
                    return

        thread = threading.Thread(target=disturb)
        thread.start()
        try:
            found = [read_entry(entry) for entry in running.results()]
        finally:
            over.set()
            thread.join()
        self._same(found, self.first)
        self._check_failures(running)

    def _play_tee(self, step: Step) -> None:
        readers = self._start(step).tee(most=10**6)
        targets = self.case.targets
        for target in random.Random(step.number).sample(targets, len(targets)):
            found = [
                Failed(v.node, v.key) if isinstance(v, Failure) else plain(v, mutates=True) for v in readers[target]
            ]
            wanted = [value for node, _, value in self.first if node == target]
            insist(found == wanted, f"tee: {target} {tell_difference(found, wanted)}")

    def _play_journal(self, step: Step) -> None:
        """Cut a run with a run directory off again and again, and resume it."""
        chance = random.Random(step.number)
        options = JournalOptions(folder=self._folder / "run", resume=True, warn=lambda text: None)
        for attempt in range(chance.randint(1, 3)):
            running = self._start(Step("journal", step.number + attempt), journal=options)
            _, _, _ = self._take(running, Step("", step.number + attempt))
            time.sleep(chance.random() * 0.2)
            chance.choice([running.cancel, running.close, running.stop])()
            running.close()
        running = self._start(Step("journal", step.number + 7), journal=options)
        self._same([read_entry(entry) for entry in running.results()], self.first)
        self._check_failures(running)


def play(case: Case) -> Finding | None:
    """Play a case; return what is wrong, or nothing, also where the graph is refused or too large."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            spread_where_needed(case)
            build(case).check()
            player = Player(case)
        except GraphError:
            return None
        if not case.targets or player.naive.count_items() > MOST_ITEMS.get(case.profile, 3_000):
            return None
        before = Leftovers()
        try:
            player.play()
        except GraphError:
            return None
        except Wrong as wrong:
            return Finding(player.mode, classify(str(wrong)), str(wrong))
        except (Exception, Damaged) as error:  # noqa: BLE001 - whatever a run raises here is what is looked for
            import traceback

            kind = f"{type(error).__name__} {classify(str(error))}"
            return Finding(player.mode, kind, "".join(traceback.format_exception(error))[-3000:])
        mode = player.mode
        del player
        left = before.find()
        return Finding(mode, "left behind", f"left behind: {left}") if left else None
