"""An attribute of a global object that main() changes.

kind: globals
inputs: number=[1, 2]
expect: [3, 6]
skip run: with papympi run nothing after the guard happens
"""

import json
import sys

from papympi import node, run


class Config:
    def __init__(self):
        self.rate = 1


config = Config()


@node(pool="work", stride=1)
def scaled(number):
    return number * config.rate


def main():
    config.rate = 3
    for pool in sys.argv[1:]:
        print(json.dumps(list(run({"number": [1, 2]}, pools={"work": pool}))))


if __name__ == "__main__":
    main()
