"""Brings a class of loggers of its own, as astropy does."""

import logging


class Shouter(logging.Logger):
    def shout(self, number):
        return f"said {number}"


before = logging.getLoggerClass()
logging.setLoggerClass(Shouter)
log = logging.getLogger("shouting")
logging.setLoggerClass(before)
log.shout(0)
