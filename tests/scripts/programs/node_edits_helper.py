"""A node edits a helper while the run goes on, and a worker is replaced.

kind: 24
inputs: number=0..12
expect: ["old old"]
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


@node(pool="work", stride=1, retries=1)
def version(number):
    time.sleep(0.05)
    if number == 1:
        pathlib.Path("edited.py").write_text('def version():\n    return "edited"\n')
    if number == 6 and not os.path.exists("killed"):
        pathlib.Path("killed").touch()
        os.kill(os.getpid(), signal.SIGSEGV)
    import edited as again

    return f"{edited.version()} {again.version()}"


@node(pool="inline", gather=True)
def kinds(version):
    return " ".join(sorted(set(version)))


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        print(json.dumps(list(run({"number": range(12)}, pools={"work": pool}))))
