"""Stands in another folder, too."""


def ten():
    return 10
