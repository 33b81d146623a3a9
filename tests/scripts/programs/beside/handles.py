"""Registers how handles are packed, which would not be packed otherwise."""

import copyreg
import threading


class Handle:
    def __init__(self, number):
        self.number = number
        self.lock = threading.Lock()


def open_handle(number):
    return Handle(number)


copyreg.pickle(Handle, lambda handle: (open_handle, (handle.number,)))
