"""A helper is edited while the run goes on: tracebacks show the lines that have run.

kind: 24
expect: ["old", "old"]
alone: yes
skip run: the edit is made by the consumer
skip inline, threads: the runner's own tracebacks show the file as Python does
"""

import json
import pathlib
import sys
import traceback

import failing

from papympi import node, run


@node(pool="work", stride=1)
def shown(number):
    try:
        failing.fail()
    except ValueError as error:
        return "old" if "raise ValueError  # old" in "".join(traceback.format_exception(error)) else "new"


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        results = run({"number": range(40)}, pools={"work": pool}, admission=2)
        found = [next(results)]
        path = pathlib.Path("failing.py")
        path.write_text(path.read_text().replace("# old", "# edited while it runs"))
        print(json.dumps([found[0], list(results)[-1]]))
