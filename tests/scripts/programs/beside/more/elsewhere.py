"""Stands in another folder."""


def one():
    return 1
