"""Imports a helper only when it is called."""


def version():
    import edited

    return edited.version()
