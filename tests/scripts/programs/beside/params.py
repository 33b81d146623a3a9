"""What the scripts set."""

STEPS = 10
TABLE = {}


class Settings:
    rate = 1

    def apply(self, number):
        return self.rate * number


def scale(number):
    return STEPS * number


def look_up(name):
    return TABLE.get(name, 0)
