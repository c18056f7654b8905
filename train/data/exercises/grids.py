"""Lists of lists: built by a rule, turned, searched cell by cell with a look at the neighbours."""

from __future__ import annotations

from random import Random

from .fragments import fill, negated
from .numeric import count_preds, number_attrs, number_preds, row_attrs
from .task import Param, Task, lines, several, small_int

_RULES = (
    ("i * {w} + j", "its row index times {w} plus its column index", "numbered"),
    ("i + j", "the sum of its indices", "sum"),
    ("i * j", "the product of its indices", "product"),
    ("abs(i - j)", "the distance between its indices", "distance"),
    ("(i + j) % 2", "0 or 1, alternating like a chessboard, with 0 at the top left", "board"),
    ("max(i, j)", "the larger of its indices", "max"),
    ("min(i, j)", "the smaller of its indices", "min"),
    ("1 if i == j else 0", "1 on the main diagonal and 0 elsewhere", "diagonal"),
    ("i ** 2 + j", "the square of its row index plus its column index", "squares"),
    ("1 if j <= i else 0", "1 on and below the main diagonal and 0 above it", "lower"),
    ("(i + 1) * (j + 1)", "the product of its row and column numbers, counted from 1", "table"),
    ("i - j", "its row index minus its column index", "difference"),
    ("(i * j) % 3", "the product of its indices modulo 3", "modulo"),
)
_TURNS = (
    (
        "[list(column) for column in zip(*{m})]",
        "transpose it",
        "transpose",
        (
            "result = []",
            "for j in range(len({m}[0]) if {m} else 0):",
            "    result.append([row[j] for row in {m}])",
            "{m} = result",
        ),
    ),
    ("[row[::-1] for row in {m}]", "reverse each row", "mirror", ("{m} = [list(reversed(row)) for row in {m}]",)),
    ("{m}[::-1]", "reverse the order of the rows", "flip", ("{m} = list(reversed({m}))",)),
    ("[list(row) for row in zip(*{m}[::-1])]", "rotate it clockwise by a quarter turn", "rotate", ()),
    ("[sorted(row) for row in {m}]", "sort each row", "sort_rows", ()),
    (
        "sorted({m}, key=sum)",
        "sort the rows by their sum, keeping the order of rows with the same sum",
        "sort_by_sum",
        (),
    ),
    ("{m}[1:]", "leave out the first row", "tail", ()),
    ("[row[1:] for row in {m}]", "leave out the first column", "cut", ()),
    ("[[sum(row), *row] for row in {m}]", "put the sum of each row in front of it", "sums", ()),
    ("[row[1:] + row[:1] for row in {m}]", "move the first element of each row to its end", "shift", ()),
    ("{m} + {m}[:1]", "append a copy of the first row", "repeat", ()),
    ("[row + row[::-1] for row in {m}]", "append to each row its reversal", "double", ()),
    ("{m}[::2]", "keep every second row, beginning with the first", "every_second", ()),
)
_NEAR = (
    ("right", "i, j + 1", "j + 1 == len({m}[i])", "the cell to its right"),
    ("left", "i, j - 1", "j == 0", "the cell to its left"),
    ("below", "i + 1, j", "i + 1 == len({m})", "the cell below it"),
    ("above", "i - 1, j", "i == 0", "the cell above it"),
)


def build(random: Random) -> Task:
    """A matrix made by a rule on the indices of its cells."""
    square = random.random() < 0.45
    rows, columns = ("n", "n") if square else random.choice((("rows", "columns"), ("height", "width"), ("m", "n")))
    rule, said, slug = random.choice(_RULES)
    rule, said = rule.replace("{w}", columns), said.replace("{w}", columns)
    pred = random.choice(number_preds(random)[:10]) if random.random() < 0.45 else None
    other = random.choice(("0", "-1", "1"))
    test = fill(pred.expr, "value") if pred else ""
    if pred:
        value = f"value if {test} else {other}"
        extra = f"; a value that {pred.singular} is kept and every other one is replaced by {other}"
    else:
        value, extra = rule, ""
    size = f"{rows} rows and {columns} columns" if not square else "n rows and n columns"
    kind = random.choice(("matrix", "matrix", "lines", "sum", "row sums"))
    params = tuple(
        Param(p, "int", lambda r: r.randint(1, 5), "a positive integer") for p in dict.fromkeys((rows, columns))
    )
    inner = [f"        value = {rule}", f"        row.append({value})"] if pred else [f"        row.append({rule})"]
    loops = ["grid = []", f"for i in range({rows}):", "    row = []", f"    for j in range({columns}):", *inner,
             "    grid.append(row)"]  # fmt: skip
    cell = value.replace("value", f"({rule})") if pred else rule
    whole = f"[[{cell} for j in range({columns})] for i in range({rows})]"
    end, returns, result = {
        "matrix": ("grid", "list[list[int]]", "return the matrix"),
        "lines": ('"\\n".join(" ".join(map(str, row)) for row in grid)', "str",
                  "return it as a string, one line for each row with its values separated by single spaces"),
        "sum": ("sum(map(sum, grid))", "int", "return the sum of its cells"),
        "row sums": ("[sum(row) for row in grid]", "list[int]", "return the list of the sums of its rows"),
    }[kind]  # fmt: skip
    return Task(
        (f"{slug}_matrix", f"build_{slug}_grid", f"{slug}_grid", f"make_{slug}_matrix"),
        params,
        returns,
        (
            f"build a matrix with {size} in which each cell holds {said}{extra}; {result}",
            f"fill a matrix with {size} so that each cell holds {said}{extra}; {result}",
        ),
        (
            lines(*loops, f"return {end}"),
            lines(f"grid = {whole}", f"return {end}"),
            f"return {end.replace('grid', whole)}",
        ),
        ("grids", "build", kind),
        ("Rows and columns are counted from 0.",) if "indic" in said or "index" in said else (),
    )


def turn(random: Random) -> Task:
    """One to three changes of a matrix as a whole, then perhaps a value of each row."""
    m = random.choice(("matrix", "grid", "table", "rows"))
    steps = random.sample(_TURNS, random.choice((1, 2, 2, 3)))
    attr = random.choice(row_attrs(random)) if random.random() < 0.6 else None
    if attr is None and len(steps) == 1:
        return turn(random)
    exprs = [expr.replace("{m}", m) for expr, _, _, _ in steps]
    value = fill(attr.expr, "row") if attr else ""

    def draw(r: Random) -> list[list[int]]:
        n = r.randint(2, 4)
        return [[small_int(r) for _ in range(n)] for _ in range(r.randint(2, 4))]

    plain = [f"{m} = {expr}" for expr in exprs]
    slow: list[str] = []
    for expr, (_, _, _, longer) in zip(exprs, steps, strict=True):
        slow += [line.replace("{m}", m) for line in longer] or [f"{m} = {expr}"]
    said = ", then ".join(what for _, what, _, _ in steps)
    end = f"[{value} for row in {m}]" if attr else m
    listed_ = (
        [
            line.replace("result", "values")
            for line in ["result = []", f"for row in {m}:", f"    result.append({value})", "return result"]
        ]
        if attr
        else [f"return {m}"]
    )
    result = f"a list of the {attr.plural} of the rows" if attr else "the matrix that results"
    slug = "_".join(name for _, _, name, _ in steps)
    returns = f"list[{'int' if attr.out == 'int' else 'list[int]'}]" if attr else "list[list[int]]"
    return Task(
        (slug, f"{slug}_{attr.slug}" if attr else f"{slug}_{m}", f"transform_{m}"),
        (Param(m, "list[list[int]]", draw, "a matrix of at least two rows and two columns"),), returns,
        (f"apply these steps to {m}, a rectangular matrix: {said}; return {result}",
         f"return {result} after these steps on the rectangular matrix {m}: {said}"),
        (lines(*plain, f"return {end}"), lines(*slow, *listed_)), ("grids", "turn", steps[0][2]),
    )  # fmt: skip


def cells(random: Random) -> Task:
    """Cells that fit a condition on themselves and one on a neighbour."""
    m = random.choice(("matrix", "grid", "board", "cells"))
    near = random.sample(_NEAR, random.choice((1, 1, 2)))
    sign, said = random.choice(
        ((">", "greater than"), ("<", "less than"), ("==", "equal to"), ("!=", "different from"))
    )
    pred = random.choice(count_preds(random)) if random.random() < 0.5 else None
    attr = random.choice([a for a in number_attrs(random) if a.out == "int"]) if random.random() < 0.4 else None
    kind = random.choice(("count", "positions", "sum", "values", "any"))
    if kind in ("count", "positions", "any"):
        attr = None
    opposite = {">": "<=", "<": ">=", "==": "!=", "!=": "=="}[sign]
    tests, skips = [], []
    for _, at, edge, _ in near:
        edge, cell = edge.replace("{m}", m), "{}[{}][{}]".format(m, *at.split(", "))
        tests.append(f"({edge} or {m}[i][j] {sign} {cell})")
        skips.append(
            f"not ({edge}) and {m}[i][j] {opposite} {cell}".replace("not (j == 0)", "j > 0")
            .replace("not (i == 0)", "i > 0")
            .replace("not (i + 1 == ", "i + 1 < (")
            .replace("not (j + 1 == ", "j + 1 < (")
        )
    where = " and ".join(what for _, _, _, what in near)
    missing = (
        "A cell that is missing there does not count against it."
        if len(near) == 1
        else ("Cells that are missing there do not count against it.")
    )
    if pred:
        tests.insert(0, fill(pred.expr, f"{m}[i][j]"))
        skips.insert(0, negated(tests[0]))
    first = f"are {pred.plural[4:]} and " if pred else "are "
    which = f"cells of {m} that {first}{said} {where}"
    value = fill(attr.expr, f"{m}[i][j]") if attr else f"{m}[i][j]"
    of = f"the {attr.plural} of the {which}" if attr else f"the values of the {which}"
    loops = [f"for i in range(len({m})):", f"    for j in range(len({m}[i])):"]
    check = f"        if {' and '.join(tests)}:"
    guards = [line for skip in skips for line in (f"        if {skip}:", "            continue")]
    start, step, end, returns, result = {
        "count": ("count = 0", "count += 1", "count", "int", f"count the {which}"),
        "positions": ("found = []", "found.append((i, j))", "found", "list[tuple[int, int]]",
                      f"return a list of the positions (row, column) of the {which}, row by row"),
        "sum": ("total = 0", f"total += {value}", "total", "int", f"return the sum of {of}"),
        "values": ("found = []", f"found.append({value})", "found", "list[int]", f"return a list of {of}, row by row"),
        "any": ("found = False", "found = True", "found", "bool", f"return True if there are {which}, otherwise False"),
    }[kind]  # fmt: skip
    draw = several(several(lambda r: r.randint(0, 9), 3, 4), 2, 4)

    def even(r: Random) -> list[list[int]]:
        rows = draw(r)
        n = min(map(len, rows))
        return [row[:n] for row in rows]

    more = pred.params if pred else ()
    if m in {p.name for p in more}:
        return cells(random)
    slug = "_and_".join(name for name, _, _, _ in near)
    compared = {">": "greater_than", "<": "less_than", "==": "equal_to", "!=": "unlike"}[sign]
    return Task(
        (f"{kind}_{compared}_{slug}", f"cells_{compared}_{slug}", f"{kind}_of_cells"),
        (Param(m, "list[list[int]]", even, "a rectangular matrix"), *more), returns, (result,),
        (lines(start, *loops, check, f"            {step}", f"return {end}"),
         lines(start, *loops, *guards, f"        {step}", f"return {end}")),
        ("grids", "cells", kind), (missing,),
    )  # fmt: skip


QUERIES = ((build, 1.2), (turn, 2), (cells, 2))
