"""A fresh interpreter to send programs to, and modules that it cannot import."""

import importlib.util
import pickle
import subprocess
import sys
import textwrap

import pytest

from papympi.transport.payload import decode, encode

_WORKER = """
import sys, pickle
from papympi.plan.program import Program
from papympi.script.prepare import prepare
from papympi.transport.payload import decode, encode
from papympi.transport.unpack import unpack_program
program = unpack_program(pickle.load(sys.stdin.buffer), prepare)
out = sys.stdout.buffer
sys.stdout = sys.stderr
while True:
    try:
        stage, coded = pickle.load(sys.stdin.buffer)
    except EOFError:
        break
    function = program.stages[stage].calls[0].function
    pickle.dump(encode([function(*decode(coded))]), out)
    out.flush()
"""


class Worker:
    """A fresh interpreter that has loaded a program and knows nothing else."""

    def __init__(self, packed, folder):
        self.process = subprocess.Popen(
            [sys.executable, "-c", _WORKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=folder
        )
        pickle.dump(packed, self.process.stdin, 5)

    def call(self, stage, *values):
        body, buffers = encode(list(values))
        pickle.dump((stage, (body, [bytes(buffer) for buffer in buffers])), self.process.stdin)
        self.process.stdin.flush()
        return decode(pickle.load(self.process.stdout))[0]

    def close(self):
        self.process.stdin.close()
        self.process.wait(20)
        self.process.stdout.close()


@pytest.fixture
def start_worker(tmp_path):
    """Start a worker with a packed program."""
    workers = []
    (tmp_path / "worker").mkdir()

    def start(packed):
        workers.append(Worker(packed, tmp_path / "worker"))
        return workers[-1]

    yield start
    for worker in workers:
        worker.close()


@pytest.fixture
def load_module(tmp_path):
    """Load source as a module that no other process can import."""
    names = []

    def load(name, source):
        path = tmp_path / f"{name}.py"
        path.write_text(textwrap.dedent(source))
        spec = importlib.util.spec_from_file_location(name, path)
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        names.append(name)
        spec.loader.exec_module(module)
        return module

    yield load
    for name in names:
        del sys.modules[name]
