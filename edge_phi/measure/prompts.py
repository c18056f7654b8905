"""What every engine is asked to continue: Python that stops where an editor's user would wait for a suggestion.

Written for this benchmark, from about 30 to about 300 tokens; each stops inside a body, so that code follows.
"""

from __future__ import annotations

FUNCTION = '''\
def celsius_to_fahrenheit(celsius):
    """Convert a temperature from Celsius to Fahrenheit."""
    return'''

CLASS = '''\
class ShoppingBasket:
    """Items waiting to be bought, with how many of each."""

    def __init__(self):
        self.items = {}

    def add(self, name, count=1):
        self.items[name] = self.items.get(name, 0) + count

    def count(self):
        """Return how many items there are in all."""
        return'''

FILES = '''\
import csv
from collections import defaultdict
from datetime import date


def read_rainfall(path):
    """Read a file of `day,station,millimetres` lines into one list of readings for each station."""
    readings = defaultdict(list)
    with open(path, newline="") as file:
        for row in csv.DictReader(file):
            day = date.fromisoformat(row["day"])
            readings[row["station"]].append((day, float(row["millimetres"])))
    return readings


def wettest_day(readings):
    """Return the day with the most rain over all stations, and how much fell."""
    totals = defaultdict(float)
    for station in readings.values():
'''

MODULE = '''\
"""Timetables of a small railway: who stops where and when, and how to get from one station to another."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Stop:
    """One train at one station, in minutes after midnight."""

    station: str
    arrival: int
    departure: int


@dataclass(frozen=True)
class Train:
    """A numbered train and its stops, in the order it makes them."""

    number: int
    stops: tuple


class Timetable:
    """All trains of a day."""

    def __init__(self, trains):
        self.trains = sorted(trains, key=lambda train: train.number)
        self.departures = {}
        for train in self.trains:
            for here, there in zip(train.stops, train.stops[1:]):
                self.departures.setdefault(here.station, []).append((here.departure, there, train))

    def next_train(self, station, minute):
        """Return the first train that leaves `station` at `minute` or later, or None."""
        for departure, _, train in sorted(self.departures[station], key=lambda leg: leg[0]):
            if departure >= minute:
'''

PROMPTS: dict[str, str] = {"function": FUNCTION, "class": CLASS, "files": FILES, "module": MODULE}
