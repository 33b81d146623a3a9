"""The input is a cursor of sqlite3.

kind: 06
inputs: row=[("g1",), ("g2",)]
expect: [2, 2]
skip run: its inputs come from the command line
"""

import json
import sqlite3
import sys

from papympi import node, run

db = sqlite3.connect(":memory:")
db.execute("create table gene(name)")
db.executemany("insert into gene values (?)", [("g1",), ("g2",)])


@node(pool="work", stride=1)
def letters(row):
    return len(row[0])


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        print(json.dumps(list(run({"row": db.execute("select name from gene")}, pools={"work": pool}))))
