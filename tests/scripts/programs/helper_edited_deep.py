"""A helper that a helper imports only when it is called is edited while the run goes on.

kind: 24
expect: {"old": 19}
alone: yes
skip run: the edit is made by the consumer
skip inline, threads, loky: no worker is replaced alone
"""

import collections
import json
import os
import pathlib
import signal
import sys
import time

import edits

from papympi import node, run


@node(pool="work", stride=1)
def version(number):
    time.sleep(0.03)
    if number == 8:
        os.kill(os.getpid(), signal.SIGSEGV)
    return edits.version()


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        seen = collections.Counter()
        for number, found in enumerate(run({"number": range(20)}, pools={"work": pool}, errors="drop")):
            seen[found] += 1
            if number == 1:
                pathlib.Path("edited.py").write_text('def version():\n    return "edited while it runs"\n')
        print(json.dumps(seen))
