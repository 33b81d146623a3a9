"""Teaches json complex numbers."""

import json


def default(encoder, value):
    return f"{value.real:.0f}{value.imag:+.0f}j" if isinstance(value, complex) else plain(encoder, value)


plain, json.JSONEncoder.default = json.JSONEncoder.default, default
