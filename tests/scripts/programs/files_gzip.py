"""A compressed file that a worker keeps open in an object.

kind: 35
inputs: number=[0, 1, 2, 3, 4, 5]
expect: [6]
alone: yes
skip inline, threads: the script has to close its own
skip run: the harness reads no gzip
"""

import gzip
import json
import os
import pathlib
import sys
import time

from papympi import node, run


class Log:
    def __init__(self):
        self.file = None

    def write(self, line):
        if self.file is None:
            self.file = gzip.open(f"{os.getpid()}.gz", "wt")
        self.file.write(line)


log = Log()


@node(pool="work", stride=1)
def noted(number):
    log.write(f"{number}\n")
    return number


def count():
    try:
        return sum(len(gzip.open(path, "rt").readlines()) for path in pathlib.Path().glob("*.gz"))
    except EOFError:
        return 0


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        list(run({"number": range(6)}, pools={"work": pool}))
        end = time.monotonic() + 20
        while count() < 6 and time.monotonic() < end:
            time.sleep(0.05)
        print(json.dumps([count()]))
