"""A node removes the script and its helpers, and a worker is replaced.

kind: 24
inputs: number=0..12
expect: ["old 2"]
alone: yes
skip inline, threads: no worker is replaced
skip loky: no worker is replaced alone
"""

import json
import os
import pathlib
import signal
import sys
import time

import edited

from papympi import node, run


class Reading:
    def __init__(self, value):
        self.value = value


@node(pool="work", stride=1, retries=1)
def version(number):
    time.sleep(0.05)
    if number == 1:
        for path in [*pathlib.Path().glob("*.py"), *pathlib.Path("__pycache__").glob("*")]:
            path.unlink()
    if number == 6 and not os.path.exists("killed"):
        pathlib.Path("killed").touch()
        os.kill(os.getpid(), signal.SIGSEGV)
    return f"{edited.version()} {Reading(2).value}"


@node(pool="inline", gather=True)
def kinds(version):
    return " ".join(sorted(set(version)))


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        print(json.dumps(list(run({"number": range(12)}, pools={"work": pool}))))
