"""A queue of multiprocessing.Manager in a partial.

kind: 16
inputs: number=[0, 1, 2]
expect: [[0, 1, 2], 3]
skip run: with papympi run nothing after the guard happens
skip notebook: a kernel has threads, and this manager is forked
"""

import functools
import json
import multiprocessing
import sys

import papympi


def put(queue, number):
    queue.put(number)
    return number


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        with multiprocessing.get_context("fork").Manager() as manager:
            queue = manager.Queue()
            found = list(papympi.map(functools.partial(put, queue), range(3), pool=pool))
            print(json.dumps([found, queue.qsize()]))
