"""Which part of a value is to blame."""

import functools

from papympi.errors import ShippingError
from papympi.transport.blame import find_culprit, read_cell
from papympi.transport.payload import encode


class Box:
    def __init__(self, content):
        self.content = content


BAD = (i for i in "x")
"""Nothing carries a generator."""


def is_sound(value):
    try:
        encode([value])
    except ShippingError:
        return False
    return True


def blame(value):
    return find_culprit("it", value, is_sound)


def test_a_cell_gives_what_it_holds():
    held = 5
    assert read_cell((lambda: held).__closure__[0]) == (5,)


def test_an_empty_cell_gives_nothing():
    def outer():
        def inner():
            return late

        cell = inner.__closure__[0]
        found = read_cell(cell)
        late = 1
        return found

    assert outer() == ()


def test_a_value_alone_is_to_blame():
    assert blame(BAD) == ("it", BAD)


def test_an_item_of_a_list_is_named():
    assert blame([1, BAD]) == ("item 1 of it", BAD)


def test_an_item_of_a_dict_is_named():
    assert blame({"a": 1, "b": BAD}) == ("item 'b' of it", BAD)


def test_an_attribute_is_named():
    assert blame(Box(BAD)) == ("attribute 'content' of it", BAD)


def test_the_innermost_part_is_named():
    assert blame([Box({"deep": BAD})]) == ("item 'deep' of attribute 'content' of item 0 of it", BAD)


def test_a_closure_variable_is_named():
    secret = BAD
    assert blame(lambda: secret) == ("closure variable 'secret' of it", BAD)


def test_a_default_is_named():
    def function(x=BAD):
        return x

    assert blame(function) == ("item 0 of the defaults of it", BAD)


def test_an_argument_of_partial_is_named():
    assert blame(functools.partial(print, 1, end=BAD)) == ("item 1 of the arguments of it", BAD)


def test_the_object_of_a_method_is_named():
    assert blame(Box(BAD).__init__) == ("attribute 'content' of the object of it", BAD)


def test_very_deep_values_end_the_search():
    value = BAD
    for _ in range(30):
        value = [value]
    what, culprit = blame(value)
    assert what.count("item 0") == 8
    assert culprit is not BAD
