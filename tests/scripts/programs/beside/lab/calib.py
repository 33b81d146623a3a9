"""What measurements are multiplied by."""


def gain():
    return 3
