"""Keeps to what a batch script relies on of `papympi run --run-dir DIR --resume` and `papympi status DIR --count`."""

import os
import signal
import sys
import time
from pathlib import Path


def run(folder, items, seconds, own_end, crash):
    """Finish items, each once; stop after `own_end` of them; the first attempt may crash."""
    if os.environ["SLURM_PROCID"] != "0":
        while count(folder) < items:
            time.sleep(0.1)
        return 0
    folder.mkdir(exist_ok=True)
    with (folder / "attempts").open("a") as file:
        print(os.environ["SLURM_JOB_ID"], os.environ.get("SLURM_RESTART_COUNT", "0"), file=file)
    crash = crash if len((folder / "attempts").read_text().splitlines()) == 1 else -1
    for _ in range(own_end):
        if count(folder) >= items:
            return 0
        if count(folder) == crash:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(seconds)
        with (folder / "done").open("a") as file:
            print(count(folder), file=file)
    return 0 if count(folder) >= items else 75


def count(folder):
    """Return how many items are finished."""
    return len((folder / "done").read_text().splitlines()) if (folder / "done").exists() else 0


DEFAULTS = {"items": 10, "seconds": 0, "own-end": 1000, "crash": -1}
if sys.argv[1] == "status":
    print(count(Path(sys.argv[2])))
else:
    words = sys.argv[3:]
    given = dict(zip(words[::2], words[1::2], strict=False))
    numbers = {name: float(given.get(f"--{name}", default)) for name, default in DEFAULTS.items()}
    sys.exit(run(Path(given["--run-dir"]), *(number if number % 1 else int(number) for number in numbers.values())))
