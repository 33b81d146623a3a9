"""A worker is renewed after so many items.

kind: 18
inputs: number=0..6
expect: [[true, true]]
skip run: the number is an option of the pool
skip inline, threads, loky: these have no workers to be renewed
"""

import json
import os
import sys

from papympi import node, run

seen = []


@node(pool="work", stride=1)
def counted(number):
    seen.append(number)
    return os.getpid(), len(seen)


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        name, _, workers = pool.partition(":")
        options = {"backend": name, "workers": int(workers), "renew_after": 2}
        found = list(run({"number": range(6)}, pools={"work": options}))
        print(json.dumps([[len({pid for pid, _ in found}) >= 3, max(count for _, count in found) <= 2]]))
