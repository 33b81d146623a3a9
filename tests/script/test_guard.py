"""Where a script's guard is, and what stands under it."""

import textwrap

import pytest

from papympi.script.guard import read_guarded


def read(text):
    return read_guarded(textwrap.dedent(text).encode(), "script.py")


@pytest.mark.parametrize(
    "guard",
    ["__name__ == '__main__'", '"__main__" == __name__', "(__name__ == '__main__')"],
    ids=["usual", "turned", "()"],
)
def test_what_is_guarded(guard):
    """The guard is found either way round, with what it binds."""
    script = read(
        f"""
        import math
        a = 1
        def f(): return a

        if {guard}:
            b = 2
            for c in range(3):
                pass
        """
    )
    assert script.loaded >= {"math", "a", "f"}
    assert script.guarded == {"b", "c"}
    assert [script.covers(line) for line in (3, 6, 7, 9)] == [False, True, True, True]


def test_rest_can_be_run():
    """What is not guarded runs by itself, also what is between two guards."""
    script = read("a = 1\nif __name__ == '__main__':\n    a = 2\nb = a\nif __name__ == '__main__':\n    b = 3\n")
    names = {"__name__": "__main__"}
    exec(script.code, names)
    assert (names["a"], names["b"]) == (1, 1)


@pytest.mark.parametrize(
    "text",
    [
        "print(1)\n",
        "if __name__ == '__main__':\n    print(1)\nprint(2)\n",
        "if __name__ == '__main__' and True:\n    print(1)\n",
        "if __name__ != '__main__':\n    print(1)\n",
        "def main():\n    if __name__ == '__main__':\n        print(1)\n",
        "if __name__ ==\n",
        "",
    ],
)
def test_no_guard_at_the_end(text):
    """Anything else is no guarded script."""
    assert read(text) is None
