"""Functions of the script that call each other, themselves and a closure.

kind: functions
inputs: number=[4, 5]
expect: [[true, 24, 7], [false, 120, 8]]
"""

import functools
import json
import sys

from papympi import node, run


def is_even(number):
    return number == 0 or is_odd(number - 1)


def is_odd(number):
    return number != 0 and is_even(number - 1)


def factorial(number):
    return 1 if number < 2 else number * factorial(number - 1)


def adder(offset):
    def add(number):
        return number + offset

    return functools.partial(add)


add_three = adder(3)


@node(pool="work", stride=1)
def all_of_it(number):
    return is_even(number), factorial(number), add_three(number)


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        print(json.dumps(list(run({"number": [4, 5]}, pools={"work": pool}))))
