"""Strings from strings: chains of steps on characters or words, and comparisons of two strings."""

from __future__ import annotations

from random import Random

from .task import WORDS, Param, Task, lines


def chain(random: Random) -> Task:
    """Two or three steps on a string, one after the other."""
    name = random.choice(("text", "s", "st", "line", "message", "sentence", "title"))
    x, y = random.sample("aeiorstln", 2)
    steps = [
        ("{s}.strip()", "remove whitespace from both ends", "strip"),
        ("{s}.lower()", "convert it to lower case", "lower"),
        ("{s}.upper()", "convert it to upper case", "upper"),
        ("{s}[::-1]", "reverse it", "reverse"),
        (f'{{s}}.replace("{x}", "{y}")', f"replace every '{x}' by '{y}'", f"replace_{x}"),
        (f'{{s}}.replace("{x}", "")', f"remove every '{x}'", f"remove_{x}"),
        ('{s}.replace(" ", "")', "remove all spaces", "remove_spaces"),
        ('{s}.replace(" ", "_")', "replace spaces by underscores", "underscore"),
        ('{s}.replace(" ", "-")', "replace spaces by hyphens", "hyphenate"),
        ('" ".join({s}.split())', "reduce every run of whitespace to a single space, with none at the ends", "squeeze"),
        ('" ".join({s}.split()[::-1])', "reverse the order of its words", "reverse_words"),
        ('" ".join(sorted({s}.split()))', "sort its words", "sort_words"),
        ('" ".join(w[::-1] for w in {s}.split())', "reverse each of its words", "reverse_each_word"),
        ('" ".join(w.capitalize() for w in {s}.split())', "capitalize each of its words", "capitalize_words"),
        ('"".join(w[0] for w in {s}.split())', "keep only the first letter of each word", "initials"),
        ('"".join(c for c in {s} if c.isalpha())', "keep only its letters", "letters"),
        ('"".join(c for c in {s} if not c.isdigit())', "remove its digits", "drop_digits"),
        ('"".join(c for c in {s} if c not in "aeiouAEIOU")', "remove its vowels", "drop_vowels"),
        ('"".join(dict.fromkeys({s}))', "keep only the first of each character", "unique_chars"),
        ('"".join(sorted({s}))', "sort its characters", "sort_chars"),
        ("{s}[::2]", "keep every second character, starting with the first", "every_second"),
        ("{s}.swapcase()", "swap upper and lower case", "swapcase"),
        ("{s}[:5]", "cut it after five characters", "cut"),
        ("{s} + {s}[::-1]", "append its reversal", "mirror"),
        ('{s} + "!"', "append an exclamation mark", "exclaim"),
        ("{s}.title()", "convert it to title case", "title"),
        ("{s}[1:] + {s}[:1]", "move its first character to the end", "rotate"),
    ]
    chosen = random.sample(steps, random.choice((2, 2, 3)))
    if not _all_matter([expr for expr, _, _ in chosen], random):
        return chain(random)
    assign = [f"{name} = " + expr.replace("{s}", name) for expr, _, _ in chosen]
    assign[-1] = "return " + assign[-1].split(" = ", 1)[1]
    other = [line.replace(f"{name} = ", "result = ", 1) for line in assign]
    for at in range(1, len(other)):
        other[at] = ("return " if at == len(other) - 1 else "result = ") + chosen[at][0].replace("{s}", "result")
    one = name
    for expr, _, _ in chosen:
        one = expr.replace("{s}", one if one == name or one.endswith((")", "]")) else f"({one})")
        if " + " in expr:
            one = f"({one})"
    said = [words for _, words, _ in chosen]
    listed = ", then ".join(said)

    return Task(
        (
            "_".join(n for _, _, n in chosen),
            f"{chosen[0][2]}_then_{chosen[-1][2]}",
            random.choice(("transform", "clean", "convert", "encode")),
        ),
        (Param(name, "str", _draw_line, "a string"),),
        "str",
        (
            f"transform the string {name} in this order: {listed}; return the result",
            f"return what becomes of the string {name} after these steps: {listed}",
        ),
        (lines(assign), lines(other), f"return {one}"),
        ("texts", "chain"),
    )


def two_strings(random: Random) -> Task:
    """What two strings have in common."""
    a, b = random.choice((("a", "b"), ("first", "second"), ("s", "t"), ("left", "right"), ("word1", "word2")))
    pool = ("level", "lever", "never", "seven", "stone", "notes", "tones", "onset", "tree", "", "star", "start", "rats")

    def draw(r: Random) -> str:
        return r.choice(pool) if r.random() < 0.8 else r.choice(WORDS)

    params = (Param(a, "str", draw, "a string"), Param(b, "str", draw, "a string"))
    kind = random.choice(("prefix", "suffix", "differ", "common", "interleave", "only", "same letters", "contains all"))
    fold = random.random() < 0.35
    x, y = (f"{a}.lower()", f"{b}.lower()") if fold else (a, b)
    note = ("Upper and lower case count as the same.",) if fold else ()
    start = [f"{a} = {a}.lower()", f"{b} = {b}.lower()"] if fold else []
    if kind in ("prefix", "suffix"):
        end = kind == "suffix"
        length = random.random() < 0.5
        i = "[-1 - i]" if end else "[i]"
        test = f"while i < min(len({a}), len({b})) and {a}{i} == {b}{i}:"
        value = "i" if length else (f"{a}[len({a}) - i:]" if end else f"{a}[:i]")
        walk = lines(start, "i = 0", test, "    i += 1", f"return {value}")
        s, t = (f"{a}[::-1]", f"{b}[::-1]") if end else (a, b)
        zipped = lines(
            start,
            "count = 0",
            f"for x, y in zip({s}, {t}):",
            "    if x != y:",
            "        break",
            "    count += 1",
            f"return {value.replace('i:', 'count:').replace(':i]', ':count]') if not length else 'count'}",
        )
        said = f"longest common {kind} of {a} and {b}"
        return Task(
            (f"common_{kind}{'_length' if length else ''}", f"shared_{kind}{'_size' if length else ''}"),
            params,
            "int" if length else "str",
            (f"return the length of the {said}",) if length else (f"return the {said}", f"find the {said}"),
            (walk, zipped),
            ("texts", kind),
            (*note, "The result is in lower case.") if fold and not length else note,
        )
    if kind == "differ":
        sign, said = random.choice((("!=", "differ"), ("==", "have the same character")))
        return Task(
            (f"count_positions_that_{said.split()[0]}", "count_matches" if sign == "==" else "count_differences"),
            params,
            "int",
            (
                f"count the positions at which {a} and {b} {said}, up to the length of the shorter one",
                f"return at how many positions {a} and {b} {said}; positions beyond the shorter one do not count",
            ),
            (
                lines(
                    "count = 0",
                    f"for x, y in zip({x}, {y}):",
                    f"    if x {sign} y:",
                    "        count += 1",
                    "return count",
                ),
                f"return sum(1 for x, y in zip({x}, {y}) if x {sign} y)",
                lines(
                    start,
                    "count = 0",
                    f"for i in range(min(len({a}), len({b}))):",
                    f"    if {a}[i] {sign} {b}[i]:",
                    "        count += 1",
                    "return count",
                ),
            ),
            ("texts", "differ"),
            note,
        )
    if kind in ("common", "only"):
        sign, said = (
            ("in", f"occur in both {a} and {b}") if kind == "common" else ("not in", f"occur in {a} but not in {b}")
        )
        op = "&" if kind == "common" else "-"
        return Task(
            (
                f"{'common' if kind == 'common' else 'extra'}_characters",
                "shared_letters" if kind == "common" else "missing_letters",
            ),
            params,
            "str",
            (f"return a string of the distinct characters that {said}, in sorted order",),
            (
                f'return "".join(sorted(set({x}) {op} set({y})))',
                lines(
                    start,
                    "found = []",
                    f"for char in {a}:",
                    f"    if char {sign} {b} and char not in found:",
                    "        found.append(char)",
                    'return "".join(sorted(found))',
                ),
            ),
            ("texts", kind),
            (*note, "The result is in lower case.") if fold else (),
        )
    if kind == "interleave":
        first = f"return a string that alternates the characters of {a} and {b}, starting with {a}"
        rest = random.random() < 0.5
        tail = f" + {a}[len({b}):] + {b}[len({a}):]" if rest else ""
        return Task(
            ("interleave", "alternate_characters", "merge_strings"),
            params,
            "str",
            (
                first
                + (
                    "; the rest of the longer one follows at the end"
                    if rest
                    else "; stop at the end of the shorter one"
                ),
            ),
            (
                f'return "".join(x + y for x, y in zip({a}, {b})){tail}',
                lines(
                    'result = ""',
                    f"for i in range(min(len({a}), len({b}))):",
                    f"    result += {a}[i] + {b}[i]",
                    f"return result{tail}",
                ),
            ),
            ("texts", "interleave"),
        )
    if kind == "contains all":
        return Task(
            ("uses_all_letters", "contains_all", "covers_letters"),
            params,
            "bool",
            (f"return True if every character of {b} also occurs in {a}, otherwise False",),
            (
                f"return set({y}) <= set({x})",
                f"return all(char in {x} for char in {y})",
                lines(start, f"for char in {b}:", f"    if char not in {a}:", "        return False", "return True"),
            ),
            ("texts", kind),
            (*note, f"An empty {b} gives True."),
        )
    return Task(
        ("same_letters", "have_same_characters", "are_rearrangements"),
        params,
        "bool",
        (
            f"return True if {a} and {b} consist of the same characters, each as often in one as in the other",
            f"check whether {b} can be made by rearranging the characters of {a}",
        ),
        (
            f"return sorted({x}) == sorted({y})",
            lines(
                start,
                f"if len({a}) != len({b}):",
                "    return False",
                f"for char in {a}:",
                f"    if {a}.count(char) != {b}.count(char):",
                "        return False",
                "return True",
            ),
        ),
        ("texts", "rearranged"),
        note,
    )


def _all_matter(exprs: list[str], random: Random) -> bool:
    """Tell whether each step changes a good part of the strings that reach it."""
    changed = [0] * len(exprs)
    for _ in range(12):
        text = _draw_line(random)
        for at, expr in enumerate(exprs):
            after = eval(expr.replace("{s}", "text"), {"text": text})
            changed[at] += after != text
            text = after
    return min(changed) >= 3


def _draw_line(r: Random) -> str:
    parts = [r.choice(WORDS).capitalize() if r.random() < 0.3 else r.choice(WORDS) for _ in range(r.randint(1, 4))]
    text = r.choice((" ", " ", " ", "  ")).join(parts)
    return r.choice((text, text, f" {text} ", f"{text} {r.randint(1, 99)}", ""))


QUERIES = ((chain, 3), (two_strings, 1.2))
