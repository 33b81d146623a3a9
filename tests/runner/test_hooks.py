"""Every hook does what its specification says, in real runs and at the real command line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PIPELINE = """\
from papympi import node

@node(stride=2)
def double(number):
    return 2 * number

@node
def mean(double):
    return double / 2 if double != 4 else double / 0
"""

HEAD = """\
import sys
from papympi.hookspecs import hookimpl

def say(*words):
    print(*words, file=sys.stderr)

"""


@pytest.fixture
def site(project: Path) -> Path:
    """Return a folder with a pipeline, where plugins are installed from."""
    (project / "pipeline.py").write_text(PIPELINE)
    return project


def install(folder: Path, source: str) -> None:
    """Install a plugin of the name "probe"."""
    (folder / "probe_plugin.py").write_text(HEAD + source)
    info = folder / "papympi_probe-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: papympi-probe\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[papympi]\nprobe = probe_plugin\n")


def papympi(folder: Path, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run the command line where the plugin is installed; all pools are inline unless an argument says otherwise."""
    environment = {**os.environ, "PYTHONPATH": str(folder), "PAPYMPI_POOLS": "*=inline"}
    words = [sys.executable, "-m", "papympi", *arguments]
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    return done


def run_pipeline(folder: Path, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run the pipeline on two numbers that do not fail."""
    return papympi(folder, "run", "pipeline.py", "--input", "number=[3, 4]", "--no-progress", *arguments, code=code)


def test_papympi_backends(site):
    install(
        site,
        """
from concurrent.futures import ThreadPoolExecutor
from papympi.contracts import Backend, Capabilities

def make(name, workers=1):
    say("made", name, workers)
    return ThreadPoolExecutor(workers)

@hookimpl
def papympi_backends():
    return {"probes": Backend(make, "threads", Capabilities(shares_memory=True))}
""",
    )
    done = run_pipeline(site, "--pool", "processes=probes:3")
    assert done.stdout == "3.0\n4.0\n"
    assert "made processes 3" in done.stderr
    assert "no option 'worker'; did you mean 'workers'" in _with_table(site, "backend = 'probes'\nworker = 3").stderr


def _with_table(site: Path, table: str) -> subprocess.CompletedProcess[str]:
    """Run with a table for a pool that an override names."""
    (site / "papympi.toml").write_text(f"[pools.mine]\n{table}\n")
    return run_pipeline(site, "--pool", "*=mine", code=2)


def test_papympi_node_options(site):
    install(
        site,
        """
from papympi.contracts import NodeOption

@hookimpl
def papympi_node_options():
    return {"gpus": NodeOption("how many it needs", lambda value: value >= 0)}

@hookimpl
def papympi_compile(node):
    say(node.name, dict(node.options.plugin))
""",
    )
    pipeline = site / "pipeline.py"
    pipeline.write_text(PIPELINE.replace("stride=2", "gpus=2"))
    assert "double {'gpus': 2}" in run_pipeline(site).stderr
    pipeline.write_text(PIPELINE.replace("stride=2", "gpus=-1"))
    assert "gpus=-1 is not accepted" in run_pipeline(site, code=2).stderr
    pipeline.write_text(PIPELINE.replace("stride=2", "gpu=1"))
    assert "did you mean 'gpus'" in run_pipeline(site, code=2).stderr


def test_papympi_compile(site):
    install(
        site,
        """
@hookimpl
def papympi_compile(node):
    if node.name == "double":
        return lambda number: 10 * node.function(number)
""",
    )
    assert run_pipeline(site).stdout == "30.0\n40.0\n"
    assert run_pipeline(site, "-p", "no:probe").stdout == "3.0\n4.0\n"


def test_papympi_rewrite(site):
    install(
        site,
        """
@hookimpl
def papympi_rewrite(plan):
    for step in plan.steps:
        say("step", step.kind, step.stride)
        step.stride = 7

@hookimpl
def papympi_run_started(plan):
    say("strides", {step.stride for step in plan.steps})
""",
    )
    done = run_pipeline(site, "--no-fusion")
    assert done.stdout == "3.0\n4.0\n"
    assert "step map 2" in done.stderr
    assert "strides {7}" in done.stderr


def test_papympi_readers(site):
    install(
        site,
        """
@hookimpl
def papympi_readers():
    return {".numbers": lambda path: map(int, path.read_text().split())}
""",
    )
    (site / "some.numbers").write_text("5 6")
    done = papympi(site, "run", "pipeline.py", "--input", "number=@some.numbers", "--no-progress")
    assert done.stdout == "5.0\n6.0\n"


def test_papympi_writers(site):
    install(
        site,
        """
class Writer:
    def __init__(self, file):
        self.file = file

    def write(self, result):
        self.file.write(f"{result.key} {result.value};".encode())

    def close(self):
        self.file.write(b"end")

@hookimpl
def papympi_writers():
    return {".odd": Writer}
""",
    )
    run_pipeline(site, "--output", "out.odd")
    assert (site / "out.odd").read_text() == "(0,) 3.0;(1,) 4.0;end"


def test_papympi_run_started_and_papympi_event(site):
    """Of a run, papympi_run_started, papympi_event and papympi_run_finished tell in this order."""
    install(
        site,
        """
@hookimpl
def papympi_run_started(plan):
    say("started", plan.targets[0].node)

@hookimpl
def papympi_event(statistics):
    say("event", statistics.delivered)

@hookimpl
def papympi_run_finished(statistics, failures):
    say("finished", statistics.finished, statistics.delivered, [failure.node for failure in failures])
""",
    )
    (site / "slow.py").write_text("import time\n" + PIPELINE.replace("return 2", "time.sleep(0.1); return 2"))
    inputs = ["--input", "number=0..12", "--no-progress"]
    lines = papympi(site, "run", "slow.py", *inputs, code=1).stderr.splitlines()
    assert lines[0] == "started mean"
    assert any(line.startswith("event ") for line in lines)
    assert lines.index("finished True 12 ['mean']") > max(
        i for i, line in enumerate(lines) if line.startswith("event ")
    )


def test_papympi_run_finished_when_cut_off(site):
    """papympi_run_finished is called when a run is cut off."""
    install(site, "@hookimpl\ndef papympi_run_finished(statistics):\n    say('finished', statistics.finished)\n")
    (site / "script.py").write_text(
        "import pipeline, papympi\n"
        "results = papympi.run({'number': iter(range(3, 10**6))}, admission=10)\n"
        "print(next(results))\n"
        "results.close()\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(site)}
    words = [sys.executable, "script.py"]
    done = subprocess.run(words, cwd=site, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "3.0\n"
    assert done.stderr == "finished False\n"


def test_papympi_commands(site):
    install(
        site,
        """
@hookimpl
def papympi_commands():
    import click

    @click.command()
    def greet():
        '''Say hello.'''
        click.echo("hello")

    return [greet]
""",
    )
    assert papympi(site, "greet").stdout == "hello\n"
    assert "greet" in papympi(site, "--help").stdout
    assert papympi(site, "-p", "no:probe", "greet", code=2).stdout == ""


def test_raising_watcher_is_named(site):
    """A watcher that raises ends the run and is named."""
    install(site, "@hookimpl\ndef papympi_event(statistics):\n    return 1 / 0\n")
    (site / "slow.py").write_text("import time\n" + PIPELINE.replace("return 2", "time.sleep(0.1); return 2"))
    done = papympi(site, "run", "slow.py", "--input", "number=3..1000000", "--no-progress", code=2)
    assert "plugin 'probe': papympi_event raised ZeroDivisionError" in done.stderr
