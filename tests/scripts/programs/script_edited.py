"""The script itself is edited while the run goes on, and a worker is replaced.

kind: 24
expect: {"old": 19}
alone: yes
skip run: the edit is made by the consumer
skip inline, threads, loky: no worker is replaced alone
skip notebook: a notebook has no file
"""

import collections
import json
import os
import pathlib
import signal
import sys
import time

from papympi import node, run

WORD = "old"


@node(pool="work", stride=1)
def version(number):
    time.sleep(0.03)
    if number == 8:
        os.kill(os.getpid(), signal.SIGSEGV)
    return WORD


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        seen = collections.Counter()
        for number, found in enumerate(run({"number": range(20)}, pools={"work": pool}, errors="drop")):
            seen[found] += 1
            if number == 1:
                script = pathlib.Path(sys.argv[0])
                script.write_text(script.read_text().replace('"old"', '"edited while it runs"'))
        print(json.dumps(seen))
