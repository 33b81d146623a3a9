"""What a function's code uses is found in the code."""

import xml
import xml.dom.minidom
import xml.etree.ElementTree

from papympi.transport.uses import find_globals, find_submodules

FACTOR = 3


def scale(x):
    return FACTOR * x


def test_globals_of_inner_functions_count():
    def outer():
        return lambda: FACTOR + scale(1)

    assert find_globals(outer.__code__) == {"FACTOR", "scale"}


def test_locals_and_builtins_are_told_apart():
    def function(x):
        y = len(x)
        return y + y

    assert find_globals(function.__code__) == {"len"}


def test_submodules_are_reached_by_dots():
    def parse(text):
        return xml.etree.ElementTree.fromstring(text)

    assert set(find_submodules(parse)) == {"xml.etree", "xml.etree.ElementTree"}


def test_packages_have_other_names():
    def make():
        held = xml.dom

        def parse(text):
            package = held
            return package.minidom.parseString(text)

        return parse

    assert list(find_submodules(make())) == ["xml.dom.minidom"]


def test_modules_that_are_not_used_stay():
    def nothing():
        return xml

    assert list(find_submodules(nothing)) == []
