"""Functions of the script under decorators of its own, and methods.

kind: functions
inputs: number=[1, 2]
expect: [[2, 3, 4, "scaled"], [4, 6, 8, "scaled"]]
"""

import functools
import json
import sys

from papympi import node, run


def logged(function):
    @functools.wraps(function)
    def wrapper(*arguments):
        wrapper.calls += 1
        return function(*arguments)

    wrapper.calls = 0
    return wrapper


@logged
def scaled(number):
    return 2 * number


class Tool:
    def __init__(self, by):
        self.by = by

    def apply(self, number):
        return self.by * number

    @staticmethod
    def four(number):
        return 4 * number


apply = Tool(3).apply


@node(pool="work", stride=1)
def all_of_it(number):
    return scaled(number), apply(number), Tool.four(number), scaled.__name__


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        print(json.dumps(list(run({"number": [1, 2]}, pools={"work": pool}))))
