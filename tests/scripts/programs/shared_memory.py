"""A block of multiprocessing.shared_memory, opened by its name in a node.

kind: multiprocessing
inputs: number=[0, 1]
expect: [[7, 8], [0, 1]]
skip run: with papympi run nothing after the guard happens
"""

import json
import sys
from multiprocessing import resource_tracker, shared_memory

from papympi import node, run


@node(pool="work", stride=1)
def changed(name, number):
    block = shared_memory.SharedMemory(name)
    resource_tracker.unregister("/" + name, "shared_memory")
    value, block.buf[number] = block.buf[number], number
    block.close()
    return value


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        block = shared_memory.SharedMemory(create=True, size=8)
        block.buf[0], block.buf[1] = 7, 8
        found = list(run({"name": [block.name] * 2, "number": [0, 1]}, pools={"work": pool}))
        print(json.dumps([found, list(block.buf[:2])]))
        block.close()
        block.unlink()
