"""A text file that a worker keeps open.

kind: 35
inputs: number=[0, 1, 2, 3, 4, 5]
expect: [6]
alone: yes
after: *.log
"""

import json
import os
import pathlib
import sys
import time

from papympi import node, run

log = None


@node(pool="work", stride=1)
def noted(number):
    global log
    if log is None:
        log = open(f"{os.getpid()}.log", "w")
    log.write(f"{number}\n")
    return number


def count():
    if log is not None:
        log.flush()
    return sum(len(path.read_text().splitlines()) for path in pathlib.Path().glob("*.log"))


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        list(run({"number": range(6)}, pools={"work": pool}))
        end = time.monotonic() + 20
        while count() < 6 and time.monotonic() < end:
            time.sleep(0.05)
        print(json.dumps([count()]))
