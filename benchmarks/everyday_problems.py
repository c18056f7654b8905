"""The second half of the test set `everyday`: 150 problems drawn from small specifications as offices have them.

    python benchmarks/everyday_problems.py            # says whether edge_phi/evaluate/everyday.jsonl holds them
    python benchmarks/everyday_problems.py --write    # puts them there, behind the problems written by hand

Ten kinds of specification (tariffs, bookings, codes to make, to read and to check, devices, scores, patterns,
timetables, conversions), each put together from clauses that are drawn: a clause is a sentence and the lines of code
that do what it says. Nothing is shared with the grammar of `train/data/exercises`, which models are trained on. Tests
are what the reference solution returns, on drawn inputs and on the edges of its clauses. A draw is left out if a
function that returns a constant or its argument would pass its tests, or one in which some condition never holds.
"""

from __future__ import annotations

import argparse
import ast
import json
import random
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FILE = Path(__file__).parents[1] / "edge_phi" / "evaluate" / "everyday.jsonl"
BY_HAND = 150
GENERATED = 150
SEED = 20


@dataclass(frozen=True)
class Specification:
    """A function to write: its text, its solution, and inputs to try it with, edges first."""

    name: str
    parameters: str  # with annotations, which are left out half of the time
    text: list[str]  # sentences
    body: list[str]  # lines, without the function's indentation
    inputs: list[tuple[Any, ...]]
    returns: str  # annotation, "" for none


def tariff(draw: random.Random) -> Specification:
    """A price that goes up in steps, with a surcharge or something free."""
    thing, unit, name = draw.choice(
        [("a parcel", "kilograms", "postage"), ("parking", "hours", "parking_fee"), ("a taxi", "kilometres", "fare"),
         ("a locker", "days", "locker_rent"), ("a print job", "pages", "print_cost"), ("a hall", "hours", "hall_rent"),
         ("a canoe", "hours", "canoe_hire"), ("storage", "boxes", "storage_cost")]
    )  # fmt: skip
    arg = unit
    first, second = sorted(draw.sample(range(2, 13), 2))
    low, high = sorted(draw.sample(range(3, 30), 2))
    each = draw.randint(1, 4)
    text = [f"What does {thing} cost, in euros, for a whole number of {unit}?"]
    text += [f"Up to {first} {unit} it is {low} euros, up to {second} it is {high}."]
    body = [f"if {arg} <= {first}:", f"    price = {low}", f"elif {arg} <= {second}:", f"    price = {high}", "else:"]
    if draw.random() < 0.5:
        text += [f"Beyond that, each of the {unit} over {second} adds {each} euros to the {high}."]
        body += [f"    price = {high} + {each} * ({arg} - {second})"]
    else:
        top = high + draw.randint(4, 20)
        text += [f"Beyond that it is always {top}."]
        body += [f"    price = {top}"]
    parameters, extra = f"{arg}: int", []
    clause = draw.choice(["member", "express", "free", "none", "none"])
    if clause == "member":
        off = draw.randint(1, 3)
        text += [f"Members pay {off} less."]
        parameters, extra = f"{arg}: int, member: bool", ["if member:", f"    price -= {off}"]
    elif clause == "express":
        text += ["With express service the price doubles."]
        parameters, extra = f"{arg}: int, express: bool", ["if express:", "    price *= 2"]
    elif clause == "free":
        text += [f"For 0 {unit} nothing is due."]
        extra = [f"if {arg} == 0:", "    price = 0"]
    numbers = [0, 1, first, first + 1, second, second + 1, second + draw.randint(3, 9)]
    inputs: list[tuple[Any, ...]] = [(n,) for n in numbers]
    if "bool" in parameters:
        inputs = [(n, flag) for n, flag in zip(numbers, (False, True, True, False, True, True, False), strict=True)]
    return Specification(name, parameters, text, [*body, *extra, "return price"], inputs, "int")


def bookings(draw: random.Random) -> Specification:
    """A state that events change, one rule for each kind of event."""
    noun, name = draw.choice(
        [("the points of a player", "final_points"), ("the level of a water tank", "tank_level"),
         ("the charge of a battery", "battery_charge"), ("the credit on a card", "card_credit"),
         ("the number of guests in a room", "guests"), ("the health of a game figure", "health"),
         ("the fuel in a tank", "fuel_left"), ("the books on a shelf", "books_on_shelf")]
    )  # fmt: skip
    kinds = draw.sample(
        [("add", "adds the amount", ["value += amount"]),
         ("take", "takes the amount off, but never goes below 0", ["value = max(0, value - amount)"]),
         ("set", "makes it exactly the amount", ["value = amount"]),
         ("double", "doubles it, whatever the amount", ["value *= 2"]),
         ("halve", "halves it and drops what is left over, whatever the amount", ["value //= 2"]),
         ("raise", "makes it the amount if that is more", ["value = max(value, amount)"]),
         ("limit", "makes it the amount if that is less", ["value = min(value, amount)"]),
         ("twice", "adds the amount two times", ["value += 2 * amount"])], draw.choice((2, 2, 3))
    )  # fmt: skip
    start = draw.choice((0, 0, 10, 5, 20))
    text = [f"Work out {noun}, which is {start} to begin with, from a list of events."]
    text += ["An event is a pair of a word and an amount: " + "; ".join(f'"{w}" {says}' for w, says, _ in kinds) + "."]
    body = [f"value = {start}"]
    result = draw.choice(["last", "highest", "ignored", "history", "last"])
    text += ["Other words change nothing."]
    if result == "highest":
        body += ["highest = value"]
        text += ["The answer is the highest value that was ever reached, the beginning included."]
    elif result == "ignored":
        body += ["ignored = 0"]
        text += ["The answer is a pair: the value at the end, and how many events had a word that is not known."]
    elif result == "history":
        body += ["history = []"]
        text += ["The answer is the list of values after each event."]
    else:
        text += ["The answer is the value at the end."]
    body += ["for kind, amount in events:"]
    for number, (word, _, lines) in enumerate(kinds):
        body += [f'    {"elif" if number else "if"} kind == "{word}":', *(f"        {line}" for line in lines)]
    if result == "ignored":
        body += ["    else:", "        ignored += 1"]
    if result == "highest":
        body += ["    highest = max(highest, value)"]
    if result == "history":
        body += ["    history.append(value)"]
    body += {"last": ["return value"], "highest": ["return highest"], "ignored": ["return value, ignored"],
             "history": ["return history"]}[result]  # fmt: skip
    words = [word for word, _, _ in kinds]

    def events(count: int) -> list[tuple[str, int]]:
        return [(draw.choice([*words, *words, "note"]), draw.randint(0, 12)) for _ in range(count)]

    inputs = [([],), ([("note", 3)],), *(([(word, 7)],) for word in words), *((events(n),) for n in (3, 4, 5, 6))]
    return Specification(name, "events: list", text, body, inputs, "")


_PIECES: list[tuple[str, str, str, Callable[[random.Random], Any]]] = [
    ("the first {n} letters of the {name} in capitals", "{name}[:{n}].upper()", "str", lambda r: _word(r)),
    ("the {name} in small letters", "{name}.lower()", "str", lambda r: _word(r).title()),
    ("the last {n} letters of the {name}", "{name}[-{n}:]", "str", lambda r: _word(r)),
    ("the {name} with zeros before it, {w} digits in all", "str({name}).zfill({w})", "int", lambda r: r.randint(0, 99)),
    ("the {name} plus {n}", "str({name} + {n})", "int", lambda r: r.randint(0, 40)),
    ("the last digit of the {name}", "str({name} % 10)", "int", lambda r: r.randint(0, 400)),
    ("the number of letters in the {name}", "str(len({name}))", "str", lambda r: _word(r)),
    ("the {name} backwards", "{name}[::-1]", "str", lambda r: _word(r)),
]


def label(draw: random.Random) -> Specification:
    """A code that is put together from the fields of a thing."""
    thing, texts, numbers = draw.choice(
        [("an inventory label", ["brand", "color", "shelf"], ["number", "size"]),
         ("a ticket code", ["city", "hall", "artist"], ["seat", "row"]),
         ("the short name of a student", ["surname", "forename", "school"], ["year", "group"]),
         ("a reference for an invoice", ["customer", "country", "branch"], ["number", "month"]),
         ("the tag of a plant", ["genus", "bed", "grower"], ["pot", "week"]),
         ("the call sign of a boat", ["harbour", "owner", "type"], ["length", "number"])]
    )  # fmt: skip
    join = draw.choice(["-", "/", ".", "_", ":"])
    fields: list[tuple[str, str, str, Callable[[random.Random], Any]]] = []
    free_texts, free_numbers = texts[:], numbers[:]
    for says, code, kind, value in draw.sample(_PIECES, 3):
        free = free_texts if kind == "str" else free_numbers
        if free:
            name = free.pop(draw.randrange(len(free)))
            slots = {"name": name, "n": draw.randint(2, 4), "w": draw.randint(3, 5)}
            fields.append((name, says.format(**slots), code.format(**slots), value))
    text = [f'Make {thing}. These are joined by "{join}": ' + ", then ".join(says for _, says, _, _ in fields) + "."]
    order = draw.sample(fields, len(fields))
    body = [f"parts = [{', '.join(code for _, _, code, _ in fields)}]", f'return "{join}".join(parts)']
    if draw.random() < 0.35:
        text += ["The whole label is put into square brackets."]
        body[-1] = f'return "[" + "{join}".join(parts) + "]"'
    inputs = [tuple(value(draw) for _, _, _, value in order) for _ in range(6)]
    short = tuple("" if isinstance(value, str) else 0 for value in inputs[0])
    name = "_".join(thing.replace("a reference for ", "").split()[-1:]) + draw.choice(["_code", "_label", "_for"])
    return Specification(name, ", ".join(field[0] for field in order), text, body, [*inputs, short], "")


def reader(draw: random.Random) -> Specification:
    """The opposite: a code is taken apart."""
    thing, names = draw.choice(
        [("A train's number", ["line", "run", "cars"]), ("The code on a crate", ["farm", "batch", "weight"]),
         ("A bus stop's sign", ["zone", "stop", "platform"]), ("A library's mark", ["room", "shelf", "volume"]),
         ("A player's card", ["team", "shirt", "goals"]), ("A sensor's message", ["sensor", "hour", "reading"])]
    )  # fmt: skip
    join = draw.choice(["-", "/", ":", "|", "."])
    kinds = [draw.choice(["text", "number", "capital", "tens"]) for _ in names]
    if "number" not in kinds:
        kinds[draw.randrange(3)] = "number"
    says = {"text": "as it is", "number": "as a whole number", "capital": "in capitals", "tens": "as a number times 10"}
    code = {"text": "{0}", "number": "int({0})", "capital": "{0}.upper()", "tens": "int({0}) * 10"}
    answer = draw.choice(["dict", "tuple"])
    text = [f'{thing} has three parts with "{join}" between them: ' + ", ".join(names[:2]) + f" and {names[2]}."]
    parts = ", ".join(f"the {name} {says[kind]}" for name, kind in zip(names, kinds, strict=True))
    text += [f"Take it apart into {'a dictionary with these names' if answer == 'dict' else 'a tuple'}: {parts}."]
    values = [code[kind].format(name) for name, kind in zip(names, kinds, strict=True)]
    body = [f'{", ".join(names)} = code.split("{join}")']
    if draw.random() < 0.5:
        fallback, nothing = ("{}", "dictionary") if answer == "dict" else ("()", "tuple")
        text += [f"A code that has not exactly three parts gives an empty {nothing}."]
        body = [f'parts = code.split("{join}")', "if len(parts) != 3:", f"    return {fallback}"]
        body += [f"{', '.join(names)} = parts"]
        broken = ["", "a", join.join(["a", "1", "2", "3"])]
    else:
        broken = []
    if answer == "dict":
        pairs = zip(names, values, strict=True)
        body += ["return {" + ", ".join(f'"{name}": {value}' for name, value in pairs) + "}"]
    else:
        body += [f"return {', '.join(values)}"]
    inputs = []
    for _ in range(5):
        words = [str(draw.randint(0, 90)) if kind in ("number", "tens") else _word(draw)[:4] for kind in kinds]
        inputs.append((join.join(words),))
    name = "read_" + thing.split()[-1].lower()
    return Specification(name, "code: str", text, body, [*inputs, *((text,) for text in broken)], "")


def checker(draw: random.Random) -> Specification:
    """A code is valid if it keeps some rules."""
    thing, name = draw.choice(
        [("locker code", "locker_code"), ("product key", "product_key"), ("club number", "club_number"),
         ("plate of a bicycle", "bicycle_plate"), ("name of a channel", "channel_name"), ("voucher", "voucher"),
         ("password for the door", "door_password"), ("room code", "room_code")]
    )  # fmt: skip
    n, m = draw.randint(4, 6), draw.randint(7, 9)
    digit, letter = str(draw.randint(1, 9)), draw.choice("KQXZ")
    rules = [
        (f"it has exactly {n} characters", f"len(code) == {n}"),
        (f"it has {n} to {m} characters", f"{n} <= len(code) <= {m}"),
        (f'it begins with "{letter}"', f'code.startswith("{letter}")'),
        (f'it does not contain a "{digit}"', f'"{digit}" not in code'),
        ("its last character is a digit", "code[-1:].isdigit()"),
        ("at least two of its characters are digits", "sum(c.isdigit() for c in code) >= 2"),
        ("no character is there twice", "len(set(code)) == len(code)"),
        ("all of its letters are capitals", "code == code.upper()"),
        (f"its digits add up to more than {n}", f"sum(int(c) for c in code if c.isdigit()) > {n}"),
        ("its first and its last character differ", "code[:1] != code[-1:]"),
        ("it has no blank in it", '" " not in code'),
    ]
    chosen = draw.sample(rules[:2], 1) + draw.sample(rules[2:], draw.choice((2, 2, 3)))
    text = [f"Whether a {thing} is valid. It is if all of this holds: " + "; ".join(says for says, _ in chosen) + "."]
    style = draw.random()
    if style < 0.5:
        body = [line for _, rule in chosen for line in (f"if not ({rule}):", "    return False")] + ["return True"]
    else:
        body = [f"return {chosen[0][1]} and " + " and ".join(rule for _, rule in chosen[1:])]
    check = eval("lambda code: " + " and ".join(f"({rule})" for _, rule in chosen))
    good: list[str] = []
    bad: list[str] = ["", " " * n]
    for _ in range(60_000):
        code = "".join(draw.choice(f"{letter}{letter}AbC0123456789 ") for _ in range(draw.randint(n, m)))
        if draw.random() < 0.7:
            code = letter + code[1:]
        (good if check(code) else bad).append(code)
        if len(good) >= 4 and len(bad) >= 40:
            break
    # Those that break one rule only are what tells a solution that forgot it.
    near = []
    for _, rule in chosen:
        others = [other for _, other in chosen if other != rule]
        others_hold = eval("lambda code: " + " and ".join(f"({other})" for other in others))
        near += [code for code in bad if others_hold(code) and not check(code) and code][:1]
    inputs = [*good[:2], *near, *good[2:4], *bad[:3]]
    return Specification(f"valid_{name}", "code: str", text, body, [(code,) for code in dict.fromkeys(inputs)], "bool")


def device(draw: random.Random) -> Specification:
    """A machine that letters steer."""
    thing, name = draw.choice(
        [("a lift", "lift_floor"), ("a radio's volume", "volume_after"), ("a crane's hook", "hook_height"),
         ("a lamp's brightness", "brightness"), ("a drone", "drone_height"), ("a slider", "slider_position"),
         ("an oven", "oven_temperature"), ("a blind at a window", "blind_position")]
    )  # fmt: skip
    top, start = draw.randint(5, 12), draw.randint(0, 3)
    step = draw.choice((1, 1, 2, 3))
    letters = draw.sample("abcdefghjkmnpqrstuwxyz", 4)
    up, down, home, jump = letters
    held = draw.random() < 0.6
    text = [f"Where is {thing} after a text of commands? It begins at {start}."]
    text += [f'"{up}" goes {step} up and "{down}" goes 1 down' + (
        f", but never above {top} or below 0: then it stays at that limit." if held else ".")]  # fmt: skip
    plus = f"min({top}, position + {step})" if held else f"position + {step}"
    minus = "max(0, position - 1)" if held else "position - 1"
    body = [f"position = {start}", "for command in commands:"]
    body += [f'    if command == "{up}":', f"        position = {plus}"]
    body += [f'    elif command == "{down}":', f"        position = {minus}"]
    extras = draw.sample(["home", "jump", "stop"], draw.choice((0, 1, 1, 2)))
    if "home" in extras:
        text += [f'"{home}" goes back to {start}.']
        body += [f'    elif command == "{home}":', f"        position = {start}"]
    if "jump" in extras:
        text += [f'"{jump}" goes straight to {top}.']
        body += [f'    elif command == "{jump}":', f"        position = {top}"]
    if "stop" in extras:
        text += ['At the first "." it stops for good.']
        body += ['    elif command == ".":', "        break"]
    if draw.random() < 0.4:
        text += ["Give the position and the number of commands in the text that were one of these letters."]
        known = up + down + (home if "home" in extras else "") + (jump if "jump" in extras else "")
        body = [*body, f'known = sum(command in "{known}" for command in commands)', "return position, known"]
    else:
        text += ["All other characters do nothing."]
        body += ["return position"]
    pool = up * 4 + down * 2 + home + jump + "-" + ("." if "stop" in extras else "")
    inputs = [("",), (up,), (down * (start + 2),), (up * (top + 1),), (up + home + up + jump + down,)]
    inputs += [("".join(draw.choice(pool) for _ in range(n)),) for n in (6, 9, 14)]
    if "stop" in extras:
        inputs.append((up + "." + up,))
    return Specification(name, "commands: str", text, body, inputs, "")


def scores(draw: random.Random) -> Specification:
    """Points of several people, under the rules of a game."""
    game, name = draw.choice(
        [("a quiz", "quiz_scores"), ("a darts evening", "darts_scores"), ("a regatta", "regatta_points"),
         ("a reading contest", "reading_contest"), ("a baking contest", "baking_contest"), ("a rally", "rally_points")]
    )  # fmt: skip
    limit, bonus, best = draw.randint(2, 6), draw.randint(2, 5), draw.randint(15, 25)
    clauses = [
        (f"Results below {limit} do not count.", [f"if points < {limit}:", "    continue"]),
        (f"A result of more than 10 gets {bonus} points on top.", ["if points > 10:", f"    points += {bonus}"]),
        ("An odd result is rounded up to the next even one.", ["if points % 2 == 1:", "    points += 1"]),
        ("A result of exactly 7 counts double.", ["if points == 7:", "    points *= 2"]),
        ("No result counts for more than 12.", ["points = min(points, 12)"]),
    ]
    chosen = [clauses[at] for at in sorted(draw.sample(range(len(clauses)), draw.choice((1, 2))))]
    text = [f"Add up who got how many points in {game}. Results are pairs of a name and points, several for a name."]
    text += [says for says, _ in chosen]
    body = ["totals = {}", "for name, points in results:"]
    body += [f"    {line}" for _, lines in chosen for line in lines]
    total = "totals.get(name, 0) + points"
    if draw.random() < 0.3:
        text += [f"Nobody can have more than {best} in the end."]
        total = f"min({best}, {total})"
    body += [f"    totals[name] = {total}"]
    end = draw.choice(["dict", "winner", "order", "above"])
    if end == "dict":
        text += ["Give a dictionary of names and totals; who has nothing that counts is not in it."]
        body += ["return totals"]
    elif end == "winner":
        text += ["Name whoever has most, of equals the first in the alphabet; an empty text if nobody has points."]
        body += ["if not totals:", '    return ""', "return min(totals, key=lambda name: (-totals[name], name))"]
    elif end == "order":
        text += ["List the names from most to fewest points, equals by the alphabet."]
        body += ["return sorted(totals, key=lambda name: (-totals[name], name))"]
    else:
        text += [f"Give the sorted names of all who reach {best - 5}."]
        body += [f"return sorted(name for name, total in totals.items() if total >= {best - 5})"]
    names = ["Ada", "Ben", "Cem", "Dee"]

    def results(count: int) -> list[tuple[str, int]]:
        return [(draw.choice(names), draw.randint(0, 14)) for _ in range(count)]

    edges = [[], [("Ada", 7)], [("Ben", limit), ("Ada", limit)], [("Cem", limit - 1)], [("Dee", 11), ("Ada", 13)]]
    inputs = [(each,) for each in [*edges, *map(results, (4, 7, 10))]]
    return Specification(name, "results: list", text, body, inputs, "")


def pattern(draw: random.Random) -> Specification:
    """A picture of characters."""
    what, name = draw.choice(
        [("a staircase", "staircase"), ("a pennant", "pennant"), ("a heap of sand", "sand_heap"), ("a ramp", "ramp"),
         ("a curtain", "curtain"), ("a fence", "fence_rows"), ("a bar chart's rows", "bar_rows")]
    )  # fmt: skip
    full, empty = draw.choice(["#", "*", "x", "o", "@"]), draw.choice([".", "-", "_", " "])
    per, base = draw.randint(1, 3), draw.randint(0, 3)
    count = f"{per} * row + {base}" if base else f"{per} * row" if per > 1 else "row"
    says = f"{per} times the row's number" if per > 1 else "as many as the row's number"
    says += f" plus {base}" if base else ""
    text = [f'Draw {what} as a list of texts, one for each row; rows are counted from 1. A row has "{full}" {says}.']
    side = draw.choice(["left", "right", "open", "framed"])
    widest = count.replace("row", "rows")
    bracketed = count if count == "row" else f"({count})"
    if side == "left":
        text += [f'It is filled up with "{empty}" on the right, so that all rows are as long as the last.']
        line = f'("{full}" * {bracketed}).ljust({widest}, "{empty}")'
    elif side == "right":
        text += [f'It is filled up with "{empty}" on the left, so that all rows are as long as the last.']
        line = f'("{full}" * {bracketed}).rjust({widest}, "{empty}")'
    elif side == "framed":
        text += ['A "|" stands at both ends of each row.']
        line = f'"|" + "{full}" * {bracketed} + "|"'
    else:
        text += ["Nothing else is in it."]
        line = f'"{full}" * {bracketed}'
    flip = draw.random() < 0.4
    if flip:
        text += ["The rows come in reverse, the longest first."]
    order = "range(rows, 0, -1)" if flip else "range(1, rows + 1)"
    if draw.random() < 0.5:
        body = ["picture = []", f"for row in {order}:", f"    picture.append({line})", "return picture"]
    else:
        body = [f"return [{line} for row in {order}]"]
    return Specification(name, "rows: int", text, body, [(n,) for n in (2, 3, 1, 0, 5)], "list[str]")


def timetable(draw: random.Random) -> Specification:
    """Times of day at a distance."""
    what, name = draw.choice(
        [("ferries leave", "ferry_times"), ("guided tours begin", "tour_times"), ("a bell rings", "bell_times"),
         ("shuttle buses leave", "shuttle_times"), ("feedings happen at the zoo", "feeding_times"),
         ("backups are made", "backup_times"), ("a machine is oiled", "oiling_times")]
    )  # fmt: skip
    every = draw.choice((15, 20, 25, 30, 40, 45, 50, 90))
    text = [f"At what times of a day do {what}?" if not what.startswith("a ") and "are made" not in what and
            "happen" not in what else f"When is it that {what}?"]  # fmt: skip
    text += [f"The first is at the hour `first`, then every {every} minutes, none later than the hour `last` sharp."]
    body = ["times = []", "minute = first * 60", "while minute <= last * 60:"]
    rule = draw.choice(["none", "noon", "skip", "odd"])
    inner = ["    times.append(TIME)"]
    if rule == "noon":
        text += ["There is none between 12:00 and 13:00, both excluded."]
        inner = ["    if not 720 < minute < 780:", "        times.append(TIME)"]
    elif rule == "skip":
        text += ["Those at a full hour are left out."]
        inner = ["    if minute % 60 != 0:", "        times.append(TIME)"]
    elif rule == "odd":
        text += ["Only those in odd hours count."]
        inner = ["    if minute // 60 % 2 == 1:", "        times.append(TIME)"]
    style = draw.choice(["text", "pair", "minutes"])
    text += {"text": ['Times are texts like "09:05".'], "pair": ["Times are tuples of hour and minute."],
             "minutes": ["Times are given in minutes since midnight."]}[style]  # fmt: skip
    times = {
        "text": 'f"{minute // 60:02}:{minute % 60:02}"',
        "pair": "(minute // 60, minute % 60)",
        "minutes": "minute",
    }
    body += [line.replace("TIME", times[style]) for line in inner] + [f"    minute += {every}"]
    result = draw.choice(["list", "list", "last", "number"])
    if result == "last":
        text += ["The answer is the latest of them only, None if there is none."]
        body += ["return times[-1] if times else None"]
    elif result == "number":
        text = [*text[:-1], "How many are there?"]
        body += ["return len(times)"]
    else:
        body += ["return times"]
    return Specification(name, "first: int, last: int", text, body,
                         [(9, 11), (11, 14), (8, 8), (10, 9), (0, 3), (13, 15), (20, 23)], "")  # fmt: skip


def conversion(draw: random.Random) -> Specification:
    """A quantity in other units, as a whole and what is left."""
    small, middle, large, a, b = draw.choice(
        [("pence", "shillings", "pounds", 12, 20), ("inches", "feet", "yards", 12, 3),
         ("ounces", "pounds", "stones", 16, 14), ("eggs", "boxes", "crates", 10, 24),
         ("sheets", "quires", "reams", 25, 20), ("beads", "strings", "chests", 40, 6),
         ("tins", "trays", "pallets", 18, 30), ("pins", "cards", "cartons", 36, 15)]
    )  # fmt: skip
    way = draw.choice(["apart", "together", "text", "enough"])
    fact = f"{a} {small} make one of the {middle}, {b} {middle} one of the {large}."
    numbers = [0, 1, a - 1, a, a * b, a * b - 1, draw.randint(a, 3 * a * b), draw.randint(a, 5 * a * b)]
    total = f"{large} * {a * b} + {middle} * {a} + {small}"
    if way == "apart":
        text = [
            fact,
            f"Express a number of {small} as a tuple of {large}, {middle} and {small}, few of the small ones.",
        ]
        body = [f"{middle}, {small} = divmod({small}, {a})", f"{large}, {middle} = divmod({middle}, {b})",
                f"return {large}, {middle}, {small}"]  # fmt: skip
        return Specification(f"in_{large}", f"{small}: int", text, body, [(n,) for n in numbers], "")
    if way == "together":
        text = [fact, f"How many {small} are so many {large}, {middle} and {small} together?"]
        several = [tuple(draw.randint(0, 9) for _ in range(3)) for _ in range(3)]
        inputs = [(0, 0, 0), (1, 1, 1), (2, 0, 5), (0, 3, 0), *several]
        parameters = f"{large}: int, {middle}: int, {small}: int"
        return Specification(f"in_{small}", parameters, text, [f"return {total}"], inputs, "int")
    if way == "enough":
        text = [fact, f"Is a number of {small} at least as much as the given {large} and {middle}?"]
        body = [f"return {small} >= {large} * {a * b} + {middle} * {a}"]
        inputs = [(a * b, 1, 0), (a * b - 1, 1, 0), (a, 0, 1), (0, 0, 0), (a * b + a, 1, 2), (3 * a, 0, 3)]
        parameters = f"{small}: int, {large}: int, {middle}: int"
        return Specification(f"enough_{small}", parameters, text, body, inputs, "bool")
    text = [fact, f'Write a number of {small} like "2 {large}, 3 {middle}, 1 {small}"; what would be 0 is left out.',
            f'Nothing at all is "0 {small}".']  # fmt: skip
    body = [f"{middle}, {small} = divmod({small}, {a})", f"{large}, {middle} = divmod({middle}, {b})", "parts = []",
            *(line for unit in (large, middle, small)
              for line in (f"if {unit}:", f'    parts.append(f"{{{unit}}} {unit}")')),
            f'return ", ".join(parts) or "0 {small}"']  # fmt: skip
    return Specification(f"write_{small}", f"{small}: int", text, body, [(n,) for n in numbers], "str")


KINDS = (tariff, bookings, label, reader, checker, device, scores, pattern, timetable, conversion)


def problems(seed: int = SEED, count: int = GENERATED) -> list[dict[str, str]]:
    """The generated problems, an equal number of each kind, as rows of the file."""
    draw = random.Random(seed)
    rows: list[dict[str, str]] = []
    names: set[str] = set()
    bodies: set[str] = set()
    for at in range(count):
        kind = KINDS[at % len(KINDS)]
        for _ in range(200):
            specification = kind(draw)
            row = _row(specification, draw)
            if row and row["canonical_solution"] not in bodies:
                break
        else:
            raise RuntimeError(f"{kind.__name__}: nothing new in 200 draws")
        bodies.add(row["canonical_solution"])
        name = row["entry_point"]
        number = next(n for n in range(1, 100) if f"{name}_{n}" not in names and (n > 1 or name not in names))
        unique = name if number == 1 else f"{name}_{number}"
        names.add(unique)
        # Only the call in the signature, the examples and the tests carries the name, always before a bracket.
        row = {key: value.replace(f"{name}(", f"{unique}(") for key, value in row.items()}
        rows.append({"task_id": f"Everyday/{BY_HAND + at}"} | row | {"entry_point": unique})
    return rows


def _row(specification: Specification, draw: random.Random) -> dict[str, str] | None:
    """A row, or None where the inputs do not tell the solution from simpler functions."""
    name = specification.name
    body = "\n".join(f"    {line}" for line in specification.body) + "\n"
    bare = ", ".join(part.partition(":")[0].strip() for part in specification.parameters.split(","))
    program = f"def {name}({bare}):\n{body}"
    given = _answers(program, name, specification.inputs)
    if len({json.dumps(answer) for answer in given}) < 2:
        return None
    if any(list(values) == given for values in zip(*specification.inputs, strict=True)):
        return None
    if any(_answers(simpler, name, specification.inputs) == given for simpler in _without_conditions(program)):
        return None
    answers = list(zip(specification.inputs, given, strict=True))
    typed = draw.random() < 0.5
    returns = f" -> {specification.returns}" if typed and specification.returns else ""
    shown = sorted(draw.sample(range(len(answers)), 2))
    if answers[shown[0]][1] == answers[shown[1]][1]:
        shown[1] = next(at for at in range(len(answers)) if answers[at][1] != answers[shown[0]][1])
    lines = [*_wrapped(" ".join(specification.text)), ""]
    for at in shown:
        arguments, answer = answers[at]
        lines += [f">>> {name}({_call(arguments)})"]
        lines += [] if answer is None else [repr(answer)]
    docstring = "\n".join(f"    {line}" if line else "" for line in lines).lstrip()
    signature = f"def {name}({specification.parameters if typed else bare}){returns}:"
    tests = "".join(
        f"assert {name}({_call(arguments)}) {'is' if answer is None or isinstance(answer, bool) else '=='} {answer!r}\n"
        for arguments, answer in answers
    )
    return {
        "prompt": f'{signature}\n    """{docstring}\n    """\n',
        "entry_point": name,
        "canonical_solution": body,
        "test": tests,
    }


def _answers(program: str, name: str, inputs: list[tuple[Any, ...]]) -> list[Any]:
    """What the function of a program returns, or the kind of error it raises."""
    space: dict[str, Any] = {}
    exec(program, space)
    answers = []
    for arguments in inputs:
        try:
            answers.append(space[name](*arguments))
        except Exception as error:
            answers.append(type(error))
    return answers


def _without_conditions(program: str) -> Iterator[str]:
    """The program with one `if` that never holds, for each of them."""
    tree = ast.parse(program)
    for node in ast.walk(tree):
        if isinstance(node, ast.If):
            test, node.test = node.test, ast.Constant(False)
            yield ast.unparse(tree)
            node.test = test


def _call(arguments: tuple[Any, ...]) -> str:
    return ", ".join(map(repr, arguments))


def _wrapped(text: str, width: int = 108) -> Iterator[str]:
    """Lines of a docstring."""
    line = ""
    for word in text.split():
        if line and len(line) + 1 + len(word) > width:
            yield line
            line = word
        else:
            line = f"{line} {word}" if line else word
    yield line


def _word(draw: random.Random) -> str:
    """Something that looks like a name and is none."""
    start = draw.choice(["Bar", "Kel", "Mon", "Tal", "Ver", "Sol", "Dan", "Lis"])
    return start + draw.choice(["to", "mar", "en", "ova", "ic", "us", "dra"])


def main() -> None:
    """Compare the file with what is drawn, or write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="replace the generated problems in the file")
    write = parser.parse_args().write
    lines = FILE.read_text(encoding="utf-8").splitlines()
    drawn = [json.dumps(row, ensure_ascii=False) for row in problems()]
    if write:
        FILE.write_text("\n".join([*lines[:BY_HAND], *drawn]) + "\n", encoding="utf-8", newline="\n")
    elif lines[BY_HAND:] != drawn:
        sys.exit(f"{FILE.name} holds other problems: python {Path(__file__).name} --write")
    print(f"{len(lines[:BY_HAND])} by hand, {len(drawn)} generated")


if __name__ == "__main__":
    main()
