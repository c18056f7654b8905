"""Functions that call themselves: over lists, strings and digits, and over choices."""

from __future__ import annotations

from random import Random

from .fragments import Attr, Pred, fill, whose, wrapped
from .numeric import count_preds, number_attrs, number_preds
from .task import Param, Task, lines, several, small_int, word
from .textual import char_attrs, char_preds, text_attrs, text_preds


def over_items(random: Random) -> Task:
    """A recursion over a list or a string: the first item, and the rest by the same function."""
    kind = random.choice(("int", "int", "str", "char", "char"))
    name = {"int": ("numbers", "nums", "values", "items"), "str": ("words", "strings", "names"),
            "char": ("text", "s", "word", "string")}[kind]  # fmt: skip
    source = random.choice(name)
    noun = {"int": "number", "str": "string", "char": "character"}[kind]
    preds, attrs = {
        "int": (number_preds, number_attrs), "str": (text_preds, text_attrs), "char": (char_preds, char_attrs),
    }[kind]  # fmt: skip
    pred: Pred | None = random.choice(preds(random)) if random.random() < 0.75 else None
    attr: Attr | None = random.choice(attrs(random)) if random.random() < 0.6 else None
    if pred and source in {p.name for p in pred.params}:
        return over_items(random)
    first = random.choice((f"{source}[0]", f"{source}[0]", "first", "head"))
    bound = not first.startswith(source)
    test = fill(pred.expr, first) if pred else ""
    value = fill(attr.expr, first) if attr else first
    number = (attr.out if attr else kind) == "int"
    texty = not number
    shape = random.choice(("sum", "count", "list", "largest", "any", "all", "join", "replace", "index"))
    if (shape in ("sum", "largest") and not number) or (shape == "join" and not texty):
        return over_items(random)
    if shape in ("count", "any", "all", "replace", "index") and pred is None:
        return over_items(random)
    if shape == "replace" and (attr is None or number != (kind == "int")):
        return over_items(random)
    if shape == "list" and pred is None and attr is None:
        return over_items(random)
    more = "".join(f", {p.name}" for p in pred.params) if pred else ""
    if shape in ("count", "any", "all", "index"):
        attr, value = None, first
    which = (
        f"the {noun}s of {source}"
        if pred is None
        else (
            f"the {pred.adjective} {noun}s of {source}"
            if pred.adjective
            else f"the {noun}s of {source} that {pred.plural}"
        )
    )
    what = f"the {attr.plural} of {which}" if attr else which
    slug = "_".join(part for part in (attr.slug if attr else "", pred.name if pred else "") if part) or noun
    f = f"{random.choice(('recursive_', '', 'rec_'))}{shape}_{slug}"
    rest = f"{f}({source}[1:]{more})"
    empty = random.choice((f"if not {source}:", f"if len({source}) == 0:"))
    opened = [f"{first} = {source}[0]"] if bound else []
    char = kind == "char"
    item = {"int": "int", "str": "str", "char": "str"}[kind]
    out = "int" if number else "str"
    note = ""
    v = wrapped(value)
    if shape == "sum":
        body = [empty, "    return 0", *opened]
        body += _either(test, f"return {v} + {rest}", f"return {rest}")
        returns, said = "int", f"the sum of {what}"
        fast = f"return sum({_each(source, pred, attr)})"
    elif shape == "count":
        body = [empty, "    return 0", *opened, *_either(test, f"return 1 + {rest}", f"return {rest}")]
        returns, said = "int", f"the number of {which[4:]}"
        fast = f"return sum(1 for item in {source} if {fill(pred.expr, 'item') if pred else 'True'})"
    elif shape == "list":
        body = [empty, "    return []", *opened, *_either(test, f"return [{value}] + {rest}", f"return {rest}")]
        returns, said = f"list[{out if attr else item}]", f"a list of {what}, in order"
        fast = f"return [{_each(source, pred, attr)}]"
    elif shape == "largest":
        body = [empty, "    return 0", *opened, *_either(test, f"return max({value}, {rest})", f"return {rest}")]
        returns, said, note = "int", f"the largest of 0 and {what}", ""
        fast = f"return max([0, *({_each(source, pred, attr)})])"
    elif shape in ("any", "all"):
        start = "False" if shape == "any" else "True"
        singular = pred.singular if pred else ""
        one = f"at least one {noun}" if shape == "any" else f"every {noun}"
        yes = f"if {test}:" if shape == "any" else f"if not ({test}):"
        body = [empty, f"    return {start}", *opened, yes, f"    return {'True' if shape == 'any' else 'False'}",
                f"return {rest}"]  # fmt: skip
        returns, said = "bool", f"whether {one} of {source} {singular}"
        note = f"An empty {'string' if char else 'list'} gives {start}."
        fast = f"return {shape}({fill(pred.expr, 'item') if pred else ''} for item in {source})"
    elif shape == "join":
        body = [empty, '    return ""', *opened, *_either(test, f"return {v} + {rest}", f"return {rest}")]
        returns, said = "str", f"a string of {what}, joined without anything between them"
        fast = f'return "".join({_each(source, pred, attr)})'
    elif shape == "replace":
        wrap, start, returns = ("{}", '""', "str") if char else ("[{}]", "[]", f"list[{item}]")
        glue = v if char else wrap.format(value)
        keep = first if char else wrap.format(first)
        body = [
            empty,
            f"    return {start}",
            *opened,
            *_either(test, f"return {glue} + {rest}", f"return {keep} + {rest}"),
        ]
        singular = pred.singular if pred else ""
        thing = "string" if char else "list"
        said = f"a copy of the {thing} {source} in which every {noun} that {singular} is replaced by" + (
            f" {whose(attr, 'it')}" if attr and attr.noun.startswith(("copy", "form", "half")) else
            f" its {attr.noun}" if attr else "")  # fmt: skip
        picked = f"{fill(attr.expr, 'item')} if {fill(pred.expr, 'item')} else item" if attr and pred else "item"
        fast = f'return "".join({picked} for item in {source})' if char else f"return [{picked} for item in {source}]"
    else:
        body = [empty, "    return -1", *opened, f"if {test}:", "    return 0", f"found = {rest}",
                "return -1 if found < 0 else found + 1"]  # fmt: skip
        returns, said = "int", f"the index of the first {noun} of {source} that {pred.singular if pred else ''}"
        note = "Return -1 if there is none."
        fast = f"return next((i for i, item in enumerate({source}) if {fill(pred.expr, 'item') if pred else ''}), -1)"
    draw = {"int": several(small_int, 0, 7), "str": several(word, 0, 6), "char": word}[kind]
    param = Param(source, {"int": "list[int]", "str": "list[str]", "char": "str"}[kind], draw,
                  {"int": "a list of integers", "str": "a list of strings", "char": "a string"}[kind])  # fmt: skip
    hint = random.random() < 0.6
    return Task(
        (f,), (param, *(pred.params if pred else ())), returns,
        (f"use recursion to find {said}", f"return {said}, using recursion and no loop" if "," not in said else
         f"without a loop, return {said}") if hint else (f"return {said}", f"find {said}"),
        (lines(*body),) if hint or random.random() < 0.7 else (lines(*body), fast),
        ("recursion", kind, shape), (note,) if note else (),
    )  # fmt: skip


def over_digits(random: Random) -> Task:
    """A recursion over the decimal digits of a number, by division."""
    name = random.choice(("n", "number", "num", "value"))
    pred = random.choice((None, *count_preds(random)))
    base, called = random.choice(((10, "decimal digits"), (10, "digits"), (10, "decimal digits"), (2, "binary digits"),
                                  (8, "octal digits"), (3, "base 3 digits")))  # fmt: skip
    if base < 10 and pred is not None:
        pred = random.choice((None, count_preds(random)[1]))
    digit = f"{name} % {base}"
    test = fill(pred.expr, f"({digit})") if pred else ""
    each, said, slug = random.choice(
        (
            ("{d}", "", ""),
            ("{d}", "", ""),
            ("({d}) ** 2", "squares of the ", "square_"),
            ("2 * ({d})", "doubles of the ", "double_"),
            ("({d}) ** 3", "cubes of the ", "cube_"),
        )
    )
    value = each.replace("{d}", digit)
    value = f"({value})" if value == digit else value
    kind = random.choice(("sum", "count", "largest", "list", "product"))
    slug = "" if kind == "count" else slug
    said = "" if kind == "count" else said
    which = f"the {said}{called} of {name}" + (f" that {pred.plural}" if pred else "")
    f = f"{kind}_{slug}digits" + (f"_{pred.name}" if pred else "") + ("" if base == 10 else f"_base_{base}")
    rest = f"{f}({name} // {base})"
    combine, empty, returns, what, start, step = {
        "sum": (f"{value} + {rest}", "0", "int", f"the sum of {which}", "0", "result += {v}"),
        "count": (
            f"1 + {rest}",
            "0",
            "int",
            f"how many of {which}" if not pred else f"how many {called} of {name} {pred.plural}",
            "0",
            "result += 1",
        ),
        "largest": (
            f"max({value}, {rest})",
            "0",
            "int",
            f"the largest of 0 and {which}",
            "0",
            "result = max(result, {v})",
        ),
        "list": (
            f"{rest} + [{value}]",
            "[]",
            "list[int]",
            f"a list of {which}, in order",
            "[]",
            "result.insert(0, {v})",
        ),
        "product": (f"{value} * {rest}", "1", "int", f"the product of {which}", "1", "result *= {v}"),
    }[kind]
    if kind == "count" and pred is None:
        return over_digits(random)
    body = lines(f"if {name} == 0:", f"    return {empty}", *_either(test, f"return {combine}", f"return {rest}"))
    loop = lines(f"result = {start}", f"while {name} > 0:",
                 *(["    " + line for line in _either(test, step.replace("{v}", value), None)]),
                 f"    {name} //= {base}", "return result")  # fmt: skip
    hint = random.random() < 0.4
    param = Param(name, "int", lambda r: r.randint(1, 10 ** r.randint(1, 6)), "a positive integer")
    return Task(
        (f,), (param,), returns,
        (f"use recursion to find {what}",) if hint else (f"return {what}", f"find {what}"),
        (body,) if hint else (body, loop, loop), ("recursion", "digits", kind),
        (f"Without any such digits the result is {empty}.",) if pred and kind in ("product", "list") else (),
    )  # fmt: skip


def choices(random: Random) -> Task:
    """Counting or listing what choices lead to: ways to climb, subsets with a sum, strings of letters, paths."""
    kind = random.choice(("ways", "ways", "subsets", "strings", "strings", "paths", "cheapest"))
    if kind == "ways":
        name = random.choice(("n", "steps", "amount", "height"))
        sizes = sorted(random.sample(range(1, 7), random.choice((2, 2, 3))))
        shown = f"{', '.join(map(str, sizes[:-1]))} or {sizes[-1]}"
        extra = random.choice((0, 0, 1))
        f = random.choice(("count_ways", "ways", "number_of_ways", "count_sums"))
        param = Param(name, "int", lambda r: r.randint(0, 14), "a non-negative integer")
        total = " + ".join(f"{f}({name} - {size})" for size in sizes)
        ban = random.choice((0, 0, 3, 5, 7))
        blocked = [f"if {name} == {ban}:", "    return 0"] if ban else []
        return Task(
            (f,), (param,), "int",
            (f"return in how many ways {name} can be written as a sum of the numbers {shown}, where the order matters"
             + (f" and no rest of {ban} is ever left while they are taken away one by one" if ban else ""),),
            (lines(f"if {name} == 0:", "    return 1", f"if {name} < 0:", "    return 0", *blocked, f"return {total}"),
             lines(f"ways = [1] + [0] * {name}", f"for i in range(1, {name} + 1):",
                   *([f"    if i == {ban}:", "        continue"] if ban else []),
                   f"    for size in ({', '.join(map(str, sizes))}):", "        if size <= i:",
                   "            ways[i] += ways[i - size]", f"return ways[{name}]")),
            ("recursion", "choices", "ways"), ("The empty sum counts for 0.",) if extra else (),
        )  # fmt: skip
    if kind in ("subsets", "cheapest"):
        name = random.choice(("numbers", "nums", "weights", "items", "prices"))
        goal = random.choice(("target", "goal", "limit", "total"))
        count = random.choice(("count", "exists", "most"))
        draw = several(lambda r: r.randint(1, 12), 0, 6)
        params: tuple[Param, ...] = (Param(name, "list[int]", draw, "a list of positive integers"),
                  Param(goal, "int", lambda r: r.randint(0, 24), "a non-negative integer"))  # fmt: skip
        again = random.random() < 0.3
        step = 0 if again else 1
        use = f"{name}" if step == 0 else f"{name}[1:]"
        often = "any number of times" if again else "at most once"
        f = {"count": "count_selections", "exists": "can_reach", "most": "best_sum"}[count]
        take, skip = f"{f}({use}, {goal} - {name}[0])", f"{f}({name}[1:], {goal})"
        if count == "most":
            body = lines(f"if not {name}:", "    return 0", f"best = {skip}", f"if {name}[0] <= {goal}:",
                         f"    best = max(best, {name}[0] + {take})", "return best")  # fmt: skip
            said = f"the largest sum not greater than {goal} that can be made of elements of {name}, each used {often}"
            returns = "int"
        else:
            yes, no, op = ("1", "0", "+") if count == "count" else ("True", "False", "or")
            body = lines(f"if {goal} == 0:", f"    return {yes}", f"if not {name} or {goal} < 0:", f"    return {no}",
                         f"return {skip} {op} {take}")  # fmt: skip
            said = (
                f"in how many ways elements of {name}, each position used {often}, add up to {goal}"
                if count == "count" else f"whether some elements of {name}, each used {often}, add up to {goal}"
            )  # fmt: skip
            returns = "int" if count == "count" else "bool"
        return Task(
            (f,),
            params,
            returns,
            (f"return {said}", f"use recursion to find {said}"),
            (body,),
            ("recursion", "choices", count),
            ("Order does not matter, and nothing at all adds up to 0.",) if count == "count" else (),
        )
    if kind == "paths":
        a, b = random.choice((("rows", "columns"), ("m", "n"), ("height", "width")))
        f = random.choice(("count_paths", "paths", "grid_paths"))
        moves, said = random.choice(
            (
                (((1, 0), (0, 1)), "right or down"),
                (((1, 0), (0, 1), (1, 1)), "right, down or diagonally right and down"),
                (((2, 0), (0, 1)), "one to the right or two down"),
                (((1, 0), (0, 2)), "two to the right or one down"),
                (((1, 0), (0, 1), (2, 2)), "right, down or two diagonally right and down"),
            )
        )
        calls = " + ".join(f"{f}({a}{f' - {x}' if x else ''}, {b}{f' - {y}' if y else ''})" for x, y in moves)
        params = tuple(Param(n, "int", lambda r: r.randint(1, 6), "a positive integer") for n in (a, b))
        adds = [f"            if i >= {x} and j >= {y}:\n                ways[i][j] += ways[i - {x}][j - {y}]"
                for x, y in moves]  # fmt: skip
        return Task(
            (f,), params, "int",
            (f"return how many paths lead from the top left to the bottom right cell of a grid with {a} rows and {b}"
             f" columns if each move goes {said}",),
            (lines(f"if {a} < 1 or {b} < 1:", "    return 0", f"if {a} == 1 and {b} == 1:", "    return 1",
                   f"return {calls}"),
             lines(f"ways = [[0] * {b} for _ in range({a})]", "ways[0][0] = 1", f"for i in range({a}):",
                   f"    for j in range({b}):", *adds, "return ways[-1][-1]")),
            ("recursion", "choices", "paths"),
        )  # fmt: skip
    letters = random.choice(("ab", "01", "xyz", "abc", "rgb", "+-", "LR"))
    name = random.choice(("n", "length", "size"))
    x, y = random.sample(letters, 2)
    test, that, slug = random.choice(
        ((f'not text.startswith("{x}")', f"do not start with '{x}'", f"not_starting_{x}"),
         (f'"{x}{x}" not in text', f"do not contain '{x}' twice in a row", f"without_double_{x}"),
         (f'"{x}{y}" not in text', f"do not contain '{x}{y}'", f"without_{x}{y}"),
         (f'text.count("{x}") <= 1', f"contain '{x}' at most once", f"few_{x}"),
         (f'text.count("{x}") % 2 == 0', f"contain an even number of '{x}'", f"even_{x}"),
         ("text == text[::-1]", "are palindromes", "palindromic"), ("text[:1] == text[-1:]",
          "start and end with the same character", "same_ends"), ("text == \"\".join(sorted(text))",
          "have their characters in sorted order", "sorted"),
         (f'text.count("{x}") > text.count("{y}")', f"contain '{x}' more often than '{y}'", f"more_{x}"))
    )  # fmt: skip
    counted = random.random() < 0.4
    end = "len(found)" if counted else "found"
    f = random.choice(("strings", "generate", "count_strings" if counted else "list_strings", f"strings_{slug}"))
    param = Param(name, "int", lambda r: r.randint(0, 5 if len(letters) == 2 else 3), "a non-negative integer")
    lead = (
        f"return how many strings of length {name} over the characters of '{letters}' {that}"
        if counted
        else f"return a list of the strings of length {name} over the characters of '{letters}' that {that}, in the"
        " order in which they are built character by character"
    )
    return Task(
        (f, f"strings_{slug}"), (param,), "int" if counted else "list[str]",
        (lead,),
        (lines("def extend(text):", f"    if len(text) == {name}:", f"        return [text] if {test} else []",
               "    longer = []", f'    for char in "{letters}":', "        longer += extend(text + char)",
               "    return longer", 'found = extend("")', f"return {end}"),
         lines(f'made = ("".join(chars) for chars in itertools.product("{letters}", repeat={name}))',
               f"found = [text for text in made if {test}]", f"return {end}"),
         lines('found = [""]', f"for _ in range({name}):",
               f'    found = [text + char for text in found for char in "{letters}"]',
               f"found = [text for text in found if {test}]", f"return {end}")),
        ("recursion", "choices", "strings"), imports=("import itertools",),
    )  # fmt: skip


def _either(test: str, yes: str, no: str | None) -> list[str]:
    if not test:
        return [yes]
    return [f"if {test}:", f"    {yes}"] + ([no] if no else [])


def _each(source: str, pred: Pred | None, attr: Attr | None) -> str:
    value = fill(attr.expr, "item") if attr else "item"
    return f"{value} for item in {source}" + (f" if {fill(pred.expr, 'item')}" if pred else "")


QUERIES = ((over_items, 5), (over_digits, 1.5), (choices, 1.5))
