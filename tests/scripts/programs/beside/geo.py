"""Registers an accessor of DataFrames, as packages for maps do."""

import pandas


@pandas.api.extensions.register_dataframe_accessor("geo")
class Geo:
    def __init__(self, frame):
        self.frame = frame

    @property
    def centre(self):
        return self.frame["lon"].mean()
