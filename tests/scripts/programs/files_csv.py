"""Rows of a csv.writer, and lines of a FileHandler with a buffer.

kind: 35
inputs: number=[0, 1, 2, 3, 4, 5]
expect: [12]
alone: yes
skip threads: two threads begin the same file
after: *.log
"""

import csv
import json
import logging.handlers
import os
import pathlib
import sys
import time

from papympi import node, run

kept = {}


@node(pool="work", stride=1)
def noted(number):
    if not kept:
        kept["file"] = open(f"{os.getpid()}-rows.log", "w", newline="")
        kept["rows"] = csv.writer(kept["file"], lineterminator="\n")
        kept["lines"] = logging.handlers.MemoryHandler(100, target=logging.FileHandler(f"{os.getpid()}-lines.log"))
    kept["rows"].writerow([number, 1])
    kept["lines"].handle(logging.LogRecord("lab", logging.INFO, "", 1, "line", (), None))
    return number


def count():
    if kept:
        kept["file"].flush()
        kept["lines"].flush()
    return sum(len(path.read_text().splitlines()) for path in pathlib.Path().glob("*.log"))


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        list(run({"number": range(6)}, pools={"work": pool}))
        end = time.monotonic() + 20
        while count() < 12 and time.monotonic() < end:
            time.sleep(0.05)
        print(json.dumps([count()]))
