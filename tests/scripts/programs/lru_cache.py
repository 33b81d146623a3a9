"""A function with lru_cache, one method with it.

kind: functions
inputs: number=[10, 20]
expect: [[55, 11], [6765, 21]]
"""

import functools
import json
import sys

from papympi import node, run


@functools.lru_cache(maxsize=None)
def fibonacci(number):
    return number if number < 2 else fibonacci(number - 1) + fibonacci(number - 2)


class Tool:
    @functools.lru_cache
    def next(self, number):
        return number + 1


tool = Tool()


@node(pool="work", stride=1)
def found(number):
    return fibonacci(number), tool.next(number)


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        print(json.dumps(list(run({"number": [10, 20]}, pools={"work": pool}))))
