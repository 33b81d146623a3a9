"""The configuration of logging: levels, a logger of one's own.

kind: settings
inputs: number=[1, 2]
expect: [[10, true, false], [10, true, false]]
"""

import json
import logging
import sys

from papympi import node, run

logging.basicConfig(level=logging.DEBUG)
logging.getLogger("noisy").setLevel(logging.ERROR)
logging.getLogger("silent").disabled = True


@node(pool="work", stride=1)
def levels(number):
    logger = logging.getLogger("new")
    return logger.getEffectiveLevel(), logger.isEnabledFor(10), logging.getLogger("noisy.deep").isEnabledFor(20)


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        print(json.dumps(list(run({"number": [1, 2]}, pools={"work": pool}))))
