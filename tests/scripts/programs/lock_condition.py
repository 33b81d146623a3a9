"""A lock in an object of the script: a Condition.

kind: 01
inputs: number=[1, 2]
expect: [2, 4]
"""

import json
import sys
import threading

from papympi import node, run


class Gate:
    def __init__(self):
        self.free = threading.Condition()

    def pass_through(self, number):
        with self.free:
            self.free.notify_all()
            return 2 * number


gate = Gate()


@node(pool="work", stride=1)
def passed(number):
    return gate.pass_through(number)


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        print(json.dumps(list(run({"number": [1, 2]}, pools={"work": pool}))))
