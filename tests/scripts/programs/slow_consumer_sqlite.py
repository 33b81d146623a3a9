"""The consumer takes its time, and an inline node has a connection to SQLite.

kind: 08
inputs: number=1..300
expect: [1]
skip run: there is no consumer but papympi
skip threads, processes, mpi, loky: a connection belongs to one thread
"""

import json
import sqlite3
import sys
import time

from papympi import node, run

db = sqlite3.connect(":memory:")


@node(pool="work", stride=1)
def asked(number):
    return db.execute("select 1").fetchone()[0]


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        seen = set()
        for number, found in enumerate(run({"number": range(300)}, pools={"work": pool}, admission=4)):
            seen.add(found)
            if number % 60 == 0:
                time.sleep(0.03)
        print(json.dumps(sorted(seen)))
