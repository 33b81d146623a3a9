"""What no node needs: an open socket, a generator, a thread.

kind: 05
inputs: number=[1, 2]
expect: [2, 4]
"""

import json
import socket
import sys
import threading

from papympi import node, run

unneeded = (number for number in range(3))
listening = socket.socket()
thread = threading.Thread(target=print)


@node(pool="work", stride=1)
def double(number):
    return 2 * number


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        print(json.dumps(list(run({"number": [1, 2]}, pools={"work": pool}))))
