"""Lambdas, partials and bound methods as nodes.

kind: functions
expect: [[2, 4], [3, 6], [4, 8]]
skip run: these are not found by names
"""

import functools
import json
import operator
import sys

import papympi


class Tool:
    def __init__(self, by):
        self.by = by

    def apply(self, number):
        return self.by * number


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        nodes = lambda number: 2 * number, functools.partial(operator.mul, 3), Tool(4).apply
        print(json.dumps([list(papympi.map(each, [1, 2], pool=pool)) for each in nodes]))
