"""The other sub-commands, and what all have in common."""

import os
import stat
import subprocess
import sys
from pathlib import Path

DOT = """#!/bin/sh
[ "$1" = -Tsvg ] && { grep -q square && echo '<svg/>'; }
"""


def test_version(papympi):
    done = papympi("--version")
    assert (done.returncode, done.stdout.split()[0]) == (0, "papympi")
    assert done.stdout.split()[1][0].isdigit()


def test_help_lists_commands_and_codes(papympi):
    """Help lists the commands and the exit codes."""
    done = papympi("--help")
    assert done.returncode == 0
    for word in ("run", "submit", "plan", "graph", "plugins", "doctor", "Exit codes: 0", "130"):
        assert word in done.stdout
    assert papympi().stdout == done.stdout
    assert "a..b" in papympi("run", "--help").stdout


def test_command_is_installed():
    command = Path(sys.executable).with_name("papympi")
    assert subprocess.run([command, "--version"], capture_output=True, check=True).stdout


def test_plan(papympi, project):
    (project / "chain.py").write_text(
        "from papympi import node\n\n@node(stride=4)\ndef one(x):\n    return x\n\n"
        "@node(pool='threads')\ndef two(one):\n    return one\n"
    )
    done = papympi("plan", "chain.py")
    assert done.returncode == 0, done.stderr
    for word in ("one", "two", "threads", "processes"):
        assert word in done.stdout
    assert "two" not in papympi("plan", "chain.py", "--target", "one").stdout


def test_graph(papympi, squares):
    text = papympi("graph", squares)
    assert text.returncode == 0, text.stderr
    assert "square" in text.stdout
    assert "number" in text.stdout
    assert papympi("graph", squares, "--format", "mermaid").stdout.startswith(("flowchart", "graph"))
    assert papympi("graph", squares, "--format", "dot").stdout.startswith("digraph")


def test_graph_as_svg(papympi, squares, project):
    program = project / "dot"
    program.write_text(DOT)
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    done = papympi("graph", squares, "--format", "svg", env={**os.environ, "PATH": f"{project}:{os.environ['PATH']}"})
    assert (done.returncode, done.stdout) == (0, "<svg/>\n"), done.stderr


def test_plugins(papympi):
    done = papympi("plugins")
    assert done.returncode == 0, done.stderr
    for name in ("inline", "threads", "processes", "mpi", "files"):
        assert name in done.stdout


def test_plugin_is_left_out(papympi, squares):
    for arguments in (["-p", "no:threads", "plugins"], ["plugins", "-p", "no:threads"]):
        [line] = [line for line in papympi(*arguments).stdout.splitlines() if line.startswith("threads")]
        assert "left out" in line
    done = papympi("-p", "no:threads", "run", squares, "--input", "number=1", "--pool", "*=threads")
    assert done.returncode == 2
    assert "threads" in done.stderr


def test_plugin_adds_a_command(papympi, project):
    (project / "greeting.py").write_text(
        "import click\nfrom papympi import hookimpl\n\n"
        "@click.command()\ndef greet():\n    '''Say something kind.'''\n    click.echo('hello')\n\n"
        "@hookimpl\ndef papympi_commands():\n    return [greet]\n"
        "@hookimpl\ndef papympi_node_options():\n    from papympi.contracts import NodeOption\n"
        "    return {'mood': NodeOption('how kind it is')}\n"
    )
    info = project / "greeting-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: greeting\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[papympi]\ngreeting = greeting\n")
    assert papympi("greet").stdout == "hello\n"
    assert "Say something kind." in papympi("--help").stdout
    assert "\nmood             how kind it is\n" in papympi("plugins").stdout
    assert papympi("-p", "no:greeting", "greet").returncode == 2
