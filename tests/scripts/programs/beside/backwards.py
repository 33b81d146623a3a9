"""Registers a codec that turns words round."""

import codecs


def find(name):
    if name != "backwards":
        return None
    return codecs.CodecInfo(lambda text, errors="strict": (text[::-1].upper().encode(), len(text)), None, name=name)


codecs.register(find)
