"""How `papympi run` ends: what it says of the run, and its exit code."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from signal import SIGTERM

from papympi.cli.exits import FAILED, FINE, REMAINS
from papympi.cli.files import FailuresFile
from papympi.cli.show import Show
from papympi.cli.words import tell
from papympi.contracts import NodeCount
from papympi.model.failure_limit import FailureLimit
from papympi.plan.plan import Plan
from papympi.runner.journal_options import JournalOptions
from papympi.runner.run import Run


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is said of a run that has ended.

    Attributes:
        session: the run.
        show: has shown its results.
        output: where they went, as for `--output`.
        journal: of a run with a directory.
        failures_file: where its failures go.
        accepts: how many failures are no reason for another exit code than 0; `None`: each is one.
    """

    session: Run
    show: Show
    output: str
    journal: JournalOptions | None
    failures_file: FailuresFile
    accepts: FailureLimit | None

    def end(self, asked: int) -> int:
        """Say how a run went that has come to its end or was stopped; return the exit code. A signal asked for one."""
        doubted = asked == 128 + SIGTERM and bool(self.session.failures)
        remains = doubted or not self.session.statistics().complete
        if self.journal is None:
            self.conclude("stopped; so far:" if asked else "")
            return asked or self._judge()
        self.conclude("stopped; so far:" if remains else "")
        if not remains:
            return self._judge()
        folder = shlex.quote(str(self.journal.folder))
        tell(f"work remains; go on with --resume --run-dir {folder}")
        return REMAINS

    def _judge(self) -> int:
        """Return the exit code of a run that is complete; say so if failures are accepted, or too many."""
        if not self.session.failures:
            return FINE
        if self.accepts is None:
            return FAILED
        plan, nodes = self.session.plan, self.session.statistics().nodes
        broken = [node for step in plan.steps if step.is_source for node in step.nodes if nodes[node].failed]
        if broken:
            tell(f"input {broken[0]!r} ended with an error: --accept-failures does not cover that")
            return FAILED
        excess = self.accepts.find_excess(self._count_calls())
        if excess is None:
            tell(f"these failures are accepted, as --accept-failures {self.accepts.text} says")
            return FINE
        tell(f"{excess}, more than --accept-failures {self.accepts.text} accepts")
        return FAILED

    def _count_calls(self) -> dict[str, NodeCount]:
        """Return the counts of the nodes; what an earlier attempt has done counts as far as it is known."""
        statistics, plan = self.session.statistics(), self.session.plan
        known = dict.fromkeys(list_row_nodes(plan), statistics.pulled)
        called = [node for step in plan.steps if step.pool is not None for node in step.nodes]
        counts = {node: statistics.nodes[node] for node in called}
        return {node: replace(count, done=max(count.done, known.get(node, 0))) for node, count in counts.items()}

    def conclude(self, head: str) -> None:
        """Write the summary to standard error, and where to find results and failures."""
        summary, output = self.session.summary, self.output
        lines = [str(replace(summary, statistics=replace(summary.statistics, delivered=self.show.count)))]
        if head:
            lines.insert(0, head)
        if output not in ("", "-"):
            lines.append(f"\nresults: {output}")
        lines += self.failures_file.finish(any_failed=bool(self.session.failures))
        tell("\n".join(lines))


def list_row_nodes(plan: Plan) -> list[str]:
    """Return the nodes that are called once for each row of the inputs, in the order of the plan."""
    steps = [step for step in plan.steps if step.kind in ("map", "scatter") and step.space.kind == "source"]
    stages = plan.program.stages
    return [node for step in steps for node in step.nodes if stages[step.number].find_inside(node) is None]
