"""The folder of the script is gone once the run has begun, and a worker is replaced.

kind: 24
expect: {"old 2": 19}
alone: yes
skip run: the folder is removed by the consumer
skip inline, threads, loky: no worker is replaced alone
"""

import collections
import json
import os
import shutil
import signal
import sys
import time

import edited

from papympi import node, run


class Reading:
    def __init__(self, value):
        self.value = value


@node(pool="work", stride=1)
def version(number):
    time.sleep(0.03)
    if number == 8:
        os.kill(os.getpid(), signal.SIGSEGV)
    return f"{edited.version()} {Reading(2).value}"


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        seen = collections.Counter()
        for number, found in enumerate(run({"number": range(20)}, pools={"work": pool}, errors="drop")):
            seen[found] += 1
            if number == 1:
                shutil.rmtree(os.getcwd())
        print(json.dumps(seen))
