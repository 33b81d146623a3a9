"""Plays a script as a notebook: a kernel of Jupyter runs its parts as cells; `python book.py FILE POOL...`."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from jupyter_client.manager import KernelManager

PATIENCE_S = 50


def cells_of(script: str, pools: list[str]) -> list[str]:
    """Return the cells: the first says which pools are asked for, the others are what two empty lines divide."""
    parts = re.split(r"\n\n\n|\n(?=if __name__)", script)
    return [f"import sys\nsys.argv = ['book', *{pools!r}]", *(part for part in parts if part.strip())]


def main() -> int:
    """Run the cells up to the first that fails; show what they write."""
    path, *pools = sys.argv[1:]
    manager = KernelManager(transport="ipc", connection_file=str(Path("kernel.json").resolve()))
    manager.start_kernel()
    client = manager.blocking_client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=PATIENCE_S)
        for cell in cells_of(Path(path).read_text(encoding="utf-8"), pools):
            reply = client.execute_interactive(cell, timeout=PATIENCE_S, output_hook=show)
            if reply["content"]["status"] != "ok":
                return 1
        return 0
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=False)
        manager.cleanup_resources()


def show(message: dict) -> None:
    """Write what a cell has written where it would stand."""
    content = message["content"]
    if message["msg_type"] == "stream":
        (sys.stdout if content["name"] == "stdout" else sys.stderr).write(content["text"])
    elif message["msg_type"] == "error":
        sys.stderr.write(re.sub(r"\x1b\[[\d;]*m", "", "\n".join(content["traceback"])) + "\n")


if __name__ == "__main__":
    sys.exit(main())
