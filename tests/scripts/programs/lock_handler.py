"""A lock in a logging handler.

kind: 01
inputs: number=[1, 2]
expect: ["number 1", "number 2"]
"""

import io
import json
import logging
import sys

from papympi import node, run

handler = logging.StreamHandler(io.StringIO())


@node(pool="work", stride=1)
def written(number):
    handler.setStream(io.StringIO())
    handler.handle(logging.LogRecord("lab", logging.INFO, "lab", 1, "number %d", (number,), None))
    return handler.stream.getvalue().strip()


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        print(json.dumps(list(run({"number": [1, 2]}, pools={"work": pool}))))
