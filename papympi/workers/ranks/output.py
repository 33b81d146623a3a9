"""What processes print that others have started: passed on, and its end remembered for the message that needs it."""

from __future__ import annotations

import codecs
import os
import sys
from typing import IO, Final

_LAST_WORDS: Final = 4000


class OutputPipe:
    """What comes out of one pipe.

    Args:
        pipe: what is read.
        name: "stdout" or "stderr": where it goes.

    Attributes:
        pipe: what is read.
        text: the end of what has come.
    """

    def __init__(self, pipe: IO[bytes], name: str) -> None:
        self.pipe = pipe
        self.text = ""
        self._name = name
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def read(self, *, quiet: bool) -> bool:
        """Take what there is; return whether there may be more to come."""
        data = os.read(self.pipe.fileno(), 65536)
        text = self._decoder.decode(data)
        self.text = (self.text + text)[-_LAST_WORDS:]
        stream = getattr(sys, self._name)
        if text and stream is not None and not quiet:
            stream.write(text)
            stream.flush()
        return bool(data)
