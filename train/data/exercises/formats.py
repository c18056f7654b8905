"""Strings that are built: lines and shapes of characters, letters changed by a rule, pieces of equal length."""

from __future__ import annotations

from random import Random

from .fragments import fill
from .numeric import count_preds
from .task import NAMES, WORDS, Param, Task, lines, sentence, several
from .textual import char_preds, text_attrs

_WIDTHS = (
    ("i", "its number", "stairs"), ("n - i + 1", "n minus its number plus 1", "falling"), ("2 * i - 1",
     "twice its number minus 1", "odd"), ("n", "n", "block"), ("2 * i", "twice its number", "double"), ("i * i",
     "the square of its number", "square"), ("i % 3 + 1", "1 more than its number modulo 3", "wave"), ("max(i, n - i)",
     "the larger of its number and n minus its number", "hourglass"), ("i // 2 + 1",
     "1 more than half its number, rounded down", "slow"),
)  # fmt: skip
_FILLS = (
    ('"{c}" * {w}', "'{c}', repeated", "{c}"),
    (
        '"".join(str(k % 10) for k in range(1, {w} + 1))',
        "the digits 1, 2, 3 and so on, going on with 0 after 9",
        "digits",
    ),
    ("str(i) * {w}", "its number, repeated", "number"),
    ('"".join("{c}" if k % 2 == 0 else "{d}" for k in range({w}))', "'{c}' and '{d}' in turn", "alternating"),
    ('"{c}" + "{d}" * ({w} - 1)', "'{c}' and then only '{d}'", "led"),
)
_PLACES = (
    ("i % 2 == 0", "at an even index", "even_index"),
    ("i % 2 == 1", "at an odd index", "odd_index"),
    ("i % 3 == 0", "at an index divisible by 3", "third_index"),
    ("i == 0 or i == len({s}) - 1", "at either end", "ends"),
    ("i < len({s}) // 2", "in the first half (rounded down)", "first_half"),
    ("i >= len({s}) - 3", "among the last three characters", "last_three"),
    ("i > 0 and {s}[i] == {s}[i - 1]", "equal to the one before it", "repeated"),
    ("{s}.count({s}[i]) > 1", "that occurs more than once", "frequent"),
    ("{s}.index({s}[i]) == i", "that occurs for the first time", "first_time"),
    ('i > 0 and {s}[i - 1] == " "', "right after a space", "after_space"),
    ("0 < i < len({s}) - 1", "that is neither first nor last", "inner"),
)
_CHANGES = (
    ("{s}[i].upper()", "its upper-case form", "upper"),
    ("{s}[i].lower()", "its lower-case form", "lower"),
    ("{s}[i] * 2", "two copies of it", "doubled"),
    ('""', "nothing", "removed"),
    ('"*"', "'*'", "masked"),
    ('"_"', "'_'", "blanked"),
    ("{s}[i].swapcase()", "its form with the case swapped", "swapcase"),
    ("str(i % 10)", "the last digit of its index", "index"),
    ('{s}[i] + "-"', "itself and a hyphen", "hyphen"),
    ('"(" + {s}[i] + ")"', "itself in parentheses", "paren"),
    ("{s}[len({s}) - 1 - i]", "the character at the same distance from the other end", "mirrored"),
    ("{s}[i - 1]", "the character before it (before the first comes the last)", "shifted"),
    ("str({s}.count({s}[i]))", "the number of times it occurs", "counted"),
)


def shape(random: Random) -> Task:
    """Lines of characters whose width follows a rule."""
    width, said, slug = random.choice(_WIDTHS)
    made, what, fill_slug = random.choice(_FILLS)
    c, d = random.sample("*#.-+ox=@", 2)
    if "- 1)" in made and width.startswith("n -"):
        width = f"({width})"
    expr = made.replace("{c}", c).replace("{d}", d).replace("{w}", f"({width})" if " " in width else width)
    what = what.replace("{c}", c).replace("{d}", d)
    align = random.choice(("", "", ".rjust({l})", ".center({l})"))
    longest = {"i": "n", "n - i + 1": "n", "2 * i - 1": "2 * n - 1", "n": "n", "2 * i": "2 * n"}.get(
        width.strip("()"), ""
    )
    if align and not longest:
        align = ""
    placed = align.replace("{l}", longest)
    where = {".": "", ".r": f", aligned to the right in a width of {longest}",
             ".c": f", centered in a width of {longest} as str.center does it"}[(align or ".")[:2]]  # fmt: skip
    keep = random.choice(count_preds(random)) if random.random() < 0.4 else None
    test = fill(keep.expr, "i") if keep else ""
    only = f"; leave out the lines whose number {keep.singular.replace('is ', 'is ')}" if keep else ""
    kind = random.choice(("text", "text", "list", "total"))
    returns, result, end = {
        "text": ("str", "return a string of n lines", '"\\n".join(rows)'),
        "list": ("list[str]", "return a list of n strings", "rows"),
        "total": ("int", "return the number of characters of n strings together", 'len("".join(rows))'),
    }[kind]
    noun = "line" if kind == "text" else "string"
    line = f"({expr}){placed}" if placed and " " in expr and not expr.startswith('"".join') else f"{expr}{placed}"
    body = ["    " + x for x in ([f"if {test}:", "    continue"] if keep else [])]
    upto = f" if not ({test})" if keep else ""
    name = random.choice(("n", "n"))
    return Task(
        (
            f"{slug}_{fill_slug}" if fill_slug.isalpha() else f"{slug}_pattern",
            f"{slug}_lines",
            f"draw_{slug}",
            f"{slug}_rows",
        ),
        (Param(name, "int", lambda r: r.randint(0, 6), "a non-negative integer"),),
        returns,
        (
            f"{result}, numbered from 1; each {noun} consists of {what}, and its length is {said}{where}"
            f"{only.replace('lines', noun + 's')}",
        ),
        (
            lines("rows = []", "for i in range(1, n + 1):", *body, f"    rows.append({line})", f"return {end}"),
            lines(f"rows = [{line} for i in range(1, n + 1){upto}]", f"return {end}"),
        ),
        ("formats", "shape", kind),
    )


def letters(random: Random) -> Task:
    """Characters changed where they stand at certain places or fit a condition."""
    s = random.choice(("text", "s", "word", "message", "line", "phrase"))
    rules: list[tuple[str, str, str, str, str]] = []
    params: tuple[Param, ...] = ()
    for _ in range(random.choice((1, 1, 2))):
        change, into, slug = random.choice(_CHANGES)
        if random.random() < 0.5:
            test, where, place = random.choice(_PLACES)
            said = f"every character@ {where}"
        else:
            pred = random.choice(char_preds(random))
            test, place = pred.expr.replace("{x}", "{s}[i]"), pred.name
            said = f"every character@ that {pred.singular}"
            params += pred.params
        rules.append((test.replace("{s}", s), change.replace("{s}", s), said, into, f"{slug}_{place}"))
    if (
        len({r[4] for r in rules}) < len(rules)
        or s in {p.name for p in params}
        or len({p.name for p in params}) < len(params)
    ):
        return letters(random)
    otherwise = "keep the others" if random.random() < 0.75 else "leave out the others"
    last = f"{s}[i]" if otherwise.startswith("keep") else '""'
    chain: list[str] = []
    for at, (test, change, *_) in enumerate(rules):
        chain += [f"    {'el' if at else ''}if {test}:", f"        result += {change}"]
    chain += ["    else:", f"        result += {last}"] if last != '""' else []
    single = " ".join(f"{change} if {test} else" for test, change, *_ in rules) + f" {last}"
    if len(rules) == 1:
        ((_, _, said, into, slug),) = rules
        here, said = said.replace("@", f" of {s}"), said.replace("@", "")
        says = [
            f"replace {here} by {into}, {otherwise}, and return the new string",
            f"return a copy of the string {s} in which {said} is replaced by {into}"
            + ("" if last != '""' else " and the others are left out"),
        ]
    else:
        slug = f"{rules[0][4]}_{rules[1][4]}"
        first, second = rules[0][2].replace("@", f" of {s}"), rules[1][2].replace("@", "")
        says = [
            f"replace {first} by {rules[0][3]}, of the rest {second} by {rules[1][3]}, {otherwise}, and"
            " return the new string"
        ]
    return Task(
        (slug, f"rewrite_{rules[0][4]}", f"change_{rules[-1][4]}", "encode", f"rewrite_{s}"),
        (Param(s, "str", lambda r: sentence(r)[:24].strip(), "a string"), *params), "str", tuple(says),
        (lines('result = ""', f"for i in range(len({s})):", *chain, "return result"),
         f'return "".join({single} for i in range(len({s})))'), ("formats", "letters", rules[0][4].split("_")[0]),
    )  # fmt: skip


def pieces(random: Random) -> Task:
    """A string or list cut into pieces of equal length or at a mark, each piece changed or measured."""
    s = random.choice(("text", "s", "code", "line", "message"))
    k = random.choice(("2", "3", "4", "k"))
    step, said = (
        f"[{s}[i:i + {k}] for i in range(0, len({s}), {k})]",
        f"pieces of {k} characters, the last one perhaps shorter",
    )
    mark = ""
    if random.random() < 0.4:
        mark = random.choice((",", "-", ";", "/", "."))
        step, said = f'{s}.split("{mark}")', f"pieces at every '{mark}'"
    attr = random.choice([a for a in text_attrs(random) if a.out in ("str", "code", "int")])
    value = fill(attr.expr, "piece")
    test, which, slug = random.choice(
        (
            ("", "", ""),
            ("", "", ""),
            ("i % 2 == 0", "every second piece, from the first on,", "even"),
            ("i % 2 == 1", "every second piece, from the second on,", "odd"),
            ("len(piece) % 2 == 0", "every piece of even length", "even_length"),
            ("i > 0", "every piece but the first", "later"),
            ("len(set(piece)) < len(piece)", "every piece with a repeated character", "repeating"),
            ("piece[:1].isalpha()", "every piece that starts with a letter", "lettered"),
        )
    )
    number = attr.out == "int"
    joiner, called = random.choice((("", "without anything between them"), ("-", "with hyphens"), (" ", "with spaces"),
                                    ("|", "with '|'")))  # fmt: skip
    kind = random.choice(("list", "sum", "largest")) if number else random.choice(("list", "join", "join", "distinct"))
    replaced = bool(test) and not number and random.random() < 0.6
    picked = f"{value} if {test} else piece" if replaced else value
    cond = f" if {test}" if test and not replaced else ""
    loop = "for i, piece in enumerate(pieces)" if "i " in test else "for piece in pieces"
    each = f"{picked} {loop}{cond}"
    returns, end, slow_start, slow_step, slow_end = {
        "list": ("list[int]" if number else "list[str]", f"[{each}]", "found = []", "found.append({v})", "found"),
        "sum": ("int", f"sum({each})", "total = 0", "total += {v}", "total"),
        "largest": ("int", f"max(({each}), default=0)", "best = 0", "best = max(best, {v})", "best"),
        "join": ("str", f'"{joiner}".join({each})', "found = []", "found.append({v})", f'"{joiner}".join(found)'),
        "distinct": ("int", f"len(set({each}))", "seen = set()", "seen.add({v})", "len(seen)"),
    }[kind]  # fmt: skip
    its = f"a {attr.noun}" if attr.noun.startswith("copy") else f"its {attr.noun}"
    what = which or "every piece"
    action = {
        "list": f"return a list of the {attr.plural} of {which or 'the pieces'}".rstrip(","),
        "sum": f"return the sum of the {attr.plural} of {which or 'the pieces'}".rstrip(","),
        "largest": f"return the largest of the {attr.plural} of {which or 'the pieces'}, or 0 without any".replace(
            ",,", ","
        ),
        "join": f"join the {attr.plural} of {which or 'the pieces'} {called} and return the string",
        "distinct": f"return how many different {attr.plural} {which or 'the pieces'} have".replace(
            "every piece", "the pieces"
        )
        if not test
        else "",
    }[kind]
    if replaced:
        tail = {"list": "return the list of all pieces", "join": f"join all pieces {called} and return the string",
                "distinct": "return how many different pieces there are then"}[kind]  # fmt: skip
        action = f"replace {what} by {its}; {tail}".replace(",;", ";").replace(", by", " by")
    elif kind == "distinct" and test:
        return pieces(random)
    inner = (
        [f"    if {test}:", f"        {slow_step.replace('{v}', value)}"]
        if test
        else [f"    {slow_step.replace('{v}', value)}"]
    )
    if replaced:
        inner += ["    else:", f"        {slow_step.replace('{v}', 'piece')}"]

    def draw(r: Random) -> str:
        words = [r.choice((r.choice(WORDS), r.choice(NAMES), str(r.randint(1, 99)))) for _ in range(r.randint(1, 4))]
        return (mark or r.choice(("", " "))).join(words)

    more = (Param("k", "int", lambda r: r.randint(1, 5), "a positive integer"),) if k == "k" and not mark else ()
    return Task(
        (
            f"{attr.slug}_of_pieces",
            f"{kind}_{attr.slug}_of_{slug or 'all'}_pieces",
            f"split_and_{kind}",
            f"{kind}_of_pieces",
        ),
        (Param(s, "str", draw, "a string"), *more),
        returns,
        (
            f"split the string {s} into {said}{';' if ',' in said else ' and'} {action}",
            f"cut {s} into {said}; {action}",
        ),
        (
            lines(f"pieces = {step}", f"return {end}"),
            lines(f"pieces = {step}", slow_start, f"{loop}:", *inner, f"return {slow_end}"),
        ),
        ("formats", "pieces", kind),
    )


def report(random: Random) -> Task:
    """Records written out as lines or sentences."""
    text, number, unit = random.choice(
        (
            ("name", "score", "points"),
            ("item", "price", "dollars"),
            ("city", "distance", "km"),
            ("name", "age", "years"),
            ("task", "time", "minutes"),
            ("word", "count", "times"),
            ("team", "goals", "goals"),
            ("part", "weight", "grams"),
        )
    )
    rows = random.choice(("rows", "records", "pairs", "entries", "data"))
    mapping = random.random() < 0.4
    source = f"{rows}.items()" if mapping else rows
    style, shown = random.choice(
        (
            ("{{{t}}}: {{{n}}}", "TEXT: NUMBER"),
            ("{{{t}}} ({{{n}}} {u})", "TEXT (NUMBER {u})"),
            ("{{{n}}} {u} - {{{t}}}", "NUMBER {u} - TEXT"),
            ("{{{t}}}={{{n}}}", "TEXT=NUMBER"),
            ("[{{{n}}}] {{{t}}}", "[NUMBER] TEXT"),
            ("{{{t}}} has {{{n}}} {u}", "TEXT has NUMBER {u}"),
            ("{{{t}}}/{{{n}}}/{u}", "TEXT/NUMBER/{u}"),
        )
    )
    made = style.replace("{{{t}}}", "{" + text + "}").replace("{{{n}}}", "{" + number + "}").replace("{u}", unit)
    shown = shown.replace("TEXT", text.upper()).replace("NUMBER", number.upper()).replace("{u}", unit)
    cut = random.choice((10, 20, 25, 30))
    test, only, slug = random.choice(
        (
            ("", "", ""),
            (f"{number} > {cut}", f" with a {number} greater than {cut}", f"above_{cut}"),
            (f"{number} % 2 == 0", f" with an even {number}" if number[0] not in "x" else "", f"even_{number}"),
            (f"len({text}) <= 4", f" with a {text} of at most four characters", f"short_{text}"),
            (
                f'{text} != "" and {text}[0] in "AEIOUaeiou"',
                f" with a {text} that starts with a vowel",
                f"vowel_{text}",
            ),
        )
    )
    order, sorted_, by = random.choice(
        (
            ("", source, ""),
            ("", source, ""),
            (f", in ascending order of {number}", f"sorted({source}, key=lambda pair: pair[1])", "sorted"),
            (f", in ascending order of {text}", f"sorted({source}, key=lambda pair: pair[0])", "alphabetical"),
            (f", in descending order of {number}", f"sorted({source}, key=lambda pair: -pair[1])", "ranked"),
        )
    )
    joiner, called, kind = random.choice(
        (
            ("\\n", "one string of lines", "str"),
            ("; ", "one string, joined by '; '", "str"),
            (None, "a list of strings", "list[str]"),
        )
    )
    cond = f" if {test}" if test else ""
    numbered = random.random() < 0.25
    label = 'f"{i}. ' if numbered else 'f"'
    body = label + made + '"'
    head = f"for {text}, {number} in {sorted_}"
    end = "rows_made" if joiner is None else f'"{joiner}".join(rows_made)'
    end = end.replace("rows_made", "lines")
    loop = ["    " * bool(test) + f"    lines.append({body})"]
    if numbered:
        loop = ["    " * bool(test) + "    i = len(lines) + 1", *loop]
    pool = {
        "city": ("Oslo", "Rome", "Lima", "Cairo", "Quito", "Accra"),
        "item": ("pen", "lamp", "cup", "desk", "bag", "apple"),
        "task": ("cook", "read", "iron", "shop", "email", "walk"),
        "word": WORDS[:30],
        "team": ("Reds", "Owls", "Eagles", "Blues"),
        "part": ("bolt", "nut", "axle", "gear", "rod"),
    }.get(text, NAMES)
    pairs = several(lambda r: (r.choice(pool), r.randint(1, 45)), 0, 4)
    param = (
        Param(rows, "dict[str, int]", lambda r: dict(pairs(r)), f"a dictionary from {text} to {number}")
        if mapping else Param(rows, "list[tuple[str, int]]", pairs, f"a list of ({text}, {number}) pairs")
    )  # fmt: skip
    what = f"item of the dictionary {rows}" if mapping else f"({text}, {number}) pair in {rows}"
    form = f"'{'1. ' if numbered else ''}{shown}'"
    count = ", where the strings are numbered from 1" if numbered else ""
    ties = ("Equal ones keep their order.",) if by else ()
    quick = (
        []
        if numbered
        else [
            lines(f"lines = [{body} {head}{cond}]", f"return {end}"),
            f"return {end.replace('lines', f'[{body} {head}{cond}]')}",
        ]
    )
    return Task(
        (f"format_{slug or rows}", f"describe_{rows}", f"{by or 'list'}_{slug or text}", f"{text}_report"),
        (param,),
        kind,
        (
            f"write every {what}{only} in the form {form}{count}{order} and return {called}",
            f"return {called} with a text of the form {form} for every {what}{only}{order}{count}",
        ),
        (lines("lines = []", f"{head}:", *([f"    if {test}:"] if test else []), *loop, f"return {end}"), *quick),
        ("formats", "report", by or "plain"),
        ties,
    )


QUERIES = ((shape, 1), (letters, 3), (pieces, 2.5), (report, 1.2))
