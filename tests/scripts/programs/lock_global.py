"""A global lock of each kind.

kind: 01
inputs: number=[1, 2]
expect: [5, 6]
"""

import json
import sys
import threading

from papympi import node, run

locks = [threading.Lock(), threading.RLock(), threading.Semaphore(2), threading.Condition()]


@node(pool="work", stride=1)
def counted(number):
    for lock in locks:
        with lock:
            number += 1
    return number


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        print(json.dumps(list(run({"number": [1, 2]}, pools={"work": pool}))))
