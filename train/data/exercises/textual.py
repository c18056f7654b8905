"""Attributes of and conditions on words and characters."""

from __future__ import annotations

from random import Random

from .fragments import Attr, Pred, be, do
from .task import WORDS, Param, several

VOWELS = '"aeiou"'


def text_attrs(random: Random) -> list[Attr]:
    """Attributes of a word; the word may be empty."""
    letter = random.choice("aeiorst")
    return [
        Attr("len({x})", "length", "lengths", "int"),
        Attr("{x}.upper()", "upper-case form", "upper-case forms", "str", "upper"),
        Attr("{x}.lower()", "lower-case form", "lower-case forms", "str", "lower"),
        Attr("{x}[::-1]", "reversal", "reversals", "str", "reversed"),
        Attr("{x}[:1]", "first character", "first characters", "str", "first letter"),
        Attr("{x}[-1:]", "last character", "last characters", "str", "last letter"),
        Attr("{x}[:3]", "prefix of three characters", "prefixes of three characters", "str", "prefix"),
        Attr("{x}[1:-1]", "part between the first and last characters",
             "parts between the first and last characters", "code", "middle"),
        Attr(f"sum(c in {VOWELS} for c in {{x}}.lower())", "vowel count", "vowel counts", "int"),
        Attr("len(set({x}))", "count of distinct characters", "counts of distinct characters", "int",
             "distinct letters"),
        Attr(f'{{x}}.count("{letter}")', f"count of the letter '{letter}'",
             f"counts of the letter '{letter}'", "int", f"count of {letter}"),
        Attr('"".join(sorted({x}))', "sorted string of characters", "sorted strings of characters", "code",
             "sorted letters"),
        Attr('"".join(c for c in {x} if c.lower() not in "aeiou")', "spelling without vowels",
             "spellings without vowels", "code", "without vowels"),
        Attr(f'{{x}}.replace("{letter}", "*")', f"copy with every '{letter}' replaced by '*'",
             f"copies with every '{letter}' replaced by '*'", "code", "masked"),
    ]  # fmt: skip


def text_preds(random: Random) -> list[Pred]:
    """Conditions on a word; the word may be empty."""
    a, k = random.choice("abcdefglmnoprst"), random.randint(3, 6)
    part = random.choice(("an", "er", "in", "on", "ea", "or", "st"))
    some = tuple(w for w in WORDS if a in w)
    first = tuple(w for w in WORDS if w[0] == a) or (a,)
    last = tuple(w for w in WORDS if w[-1] == a) or (a,)
    letter = random.choice(("letter", "char", "c", "first"))
    one = Param(letter, "str", lambda r: r.choice("abcmprst"), "a single character")
    limit = random.choice(("limit", "size", "n", "length"))
    size = Param(limit, "int", lambda r: r.randint(2, 6), "an integer")
    banned = random.choice(("banned", "stopwords", "ignored", "known"))
    pool = Param(banned, "list[str]", several(lambda r: r.choice(WORDS[:25])), "a list of strings")
    prefix = Param("prefix", "str", lambda r: r.choice(WORDS)[: r.randint(1, 2)], "a string")
    suffix = Param("suffix", "str", lambda r: r.choice(WORDS)[-r.randint(1, 2) :], "a string")
    vowels = '("a", "e", "i", "o", "u")'
    return [
        do(f'{{x}}.startswith("{a}")', "start", f"with '{a}'", f"starting_with_{a}", hints=first[:5]),
        do(f'{{x}}.endswith("{a}")', "end", f"with '{a}'", f"ending_with_{a}", hints=last[:5]),
        do(f'"{a}" in {{x}}', "contain", f"the letter '{a}'", f"containing_{a}", hints=some[:5]),
        do(f'"{part}" in {{x}}', "contain", f"'{part}'", f"containing_{part}",
            hints=tuple(w for w in WORDS if part in w)[:5]),
        do(f"{{x}}.lower().startswith({vowels})", "start", "with a vowel", "starting_with_vowel",
            hints=("apple", "Open", "up")),
        do(f"{{x}}.lower().endswith({vowels})", "end", "with a vowel", "ending_with_vowel"),
        do(f"{{x}}[:1].lower() in {VOWELS} and {{x}} != \"\"", "begin", "with a vowel",
            "beginning_with_vowel", hints=("apple", "Open", "up")),
        Pred(f"len({{x}}) > {k}", f"have more than {k} characters", f"has more than {k} characters",
             f"longer_than_{k}"),
        Pred(f"len({{x}}) < {k}", f"have fewer than {k} characters", f"has fewer than {k} characters",
             f"shorter_than_{k}"),
        Pred(f"len({{x}}) == {k}", f"have exactly {k} characters", f"has exactly {k} characters",
             f"of_length_{k}"),
        Pred("len({x}) % 2 == 0", "have an even length", "has an even length", "even_length"),
        be("{x} == {x}[::-1]", "palindromes", "palindromes", singular="a palindrome",
            hints=("level", "noon", "eye", "mom")),
        Pred("{x}[:1].isupper()", "start with an upper-case letter", "starts with an upper-case letter",
             "capitalized", "capitalized"),
        Pred("{x}.isupper()", "are written in upper case", "is written in upper case", "upper", hints=("OK",)),
        do("{x}.isalpha()", "consist", "of at least one letter and nothing else", "alphabetic"),
        do("{x}.isdigit()", "consist", "of at least one digit and nothing else", "numeric",
            hints=("12", "7", "305")),
        do('{x} != "" and {x}[0] == {x}[-1]', "start", "and end with the same character",
            "same_ends", hints=("level", "eye", "area"), join=("starts", "and ends with the same character")),
        Pred("len(set({x})) == len({x})", "have no repeated character", "has no repeated character",
             "all_distinct"),
        Pred("len(set({x})) < len({x})", "have a repeated character", "has a repeated character",
             "with_repeats"),
        Pred(f"not any(c in {VOWELS} for c in {{x}}.lower())", "contain no vowel", "contains no vowel",
             "without_vowels", hints=("rhythm", "sky", "xyz")),
        Pred("list({x}) == sorted({x})", "have their characters in sorted order",
             "has its characters in sorted order", "sorted_letters", hints=("at", "is", "door")),
        Pred(f'{{x}} < "{a}"', f"come before '{a}' in string order", f"comes before '{a}' in string order",
             f"before_{a}"),
        do(f"{{x}}.startswith({letter})", "start", f"with {letter}", "starting_with", params=(one,)),
        do(f"{letter} in {{x}}", "contain", f"the character {letter}", "containing_letter", params=(one,)),
        be(f"len({{x}}) > {limit}", f"longer than {limit}", "longer_than", params=(size,)),
        Pred(f"len({{x}}) <= {limit}", f"have at most {limit} characters", f"has at most {limit} characters",
             "up_to_length", params=(size,)),
        be(f"{{x}} in {banned}", f"in the list {banned}", f"in_{banned}", params=(pool,), hints=WORDS[:25]),
        be(f"{{x}} not in {banned}", f"missing from {banned}", f"not_in_{banned}", params=(pool,), hints=WORDS[:25]),
        do("{x}.startswith(prefix)", "start", "with prefix", "with_prefix", params=(prefix,)),
        do("{x}.endswith(suffix)", "end", "with suffix", "with_suffix", params=(suffix,)),
    ]  # fmt: skip


def char_attrs(random: Random) -> list[Attr]:
    """Attributes of a character."""
    return [
        Attr("{x}.upper()", "upper-case form", "upper-case forms", "str", "upper"),
        Attr("{x}.lower()", "lower-case form", "lower-case forms", "str", "lower"),
        Attr("{x}.swapcase()", "form with the case swapped", "forms with the case swapped", "str", "swapcase"),
        Attr("ord({x})", "code point", "code points", "int"),
        Attr("{x} * 2", "doubling", "doublings", "str", "doubled"),
    ]


def char_preds(random: Random) -> list[Pred]:
    """Conditions on a character."""
    a = random.choice("aeiostr")
    other = random.choice(("other", "alphabet", "allowed", "chars"))
    text = Param(other, "str", lambda r: "".join(r.sample("abcdeghilmnoprstu", r.randint(1, 7))), "a string")
    return [
        be(f"{{x}}.lower() in {VOWELS}", "vowels", "vowel", singular="a vowel"),
        be(f"{{x}} in {VOWELS}", "lower-case vowels", "lower_vowel", singular="a lower-case vowel"),
        be(f"{{x}}.isalpha() and {{x}}.lower() not in {VOWELS}", "consonants", "consonant",
            singular="a consonant"),
        be("{x}.isdigit()", "digits", "digit", singular="a digit"),
        be("{x}.isalpha()", "letters", "letter", singular="a letter"),
        be("{x}.isupper()", "upper-case letters", "upper", singular="an upper-case letter"),
        be("{x}.islower()", "lower-case letters", "lower", singular="a lower-case letter"),
        be("{x}.isalnum()", "letters or digits", "alphanumeric", singular="a letter or digit"),
        be('{x} == " "', "spaces", "space", singular="a space"),
        be(f'{{x}} == "{a}"', f"equal to '{a}'", f"equal_to_{a}"),
        be(f'{{x}} in "{a}{a.upper()}"', f"'{a}' or '{a.upper()}'", f"is_{a}"),
        be(f"{{x}} in {other}", f"in {other}", f"in_{other}", params=(text,)),
        be(f"{{x}} not in {other}", f"missing from {other}", f"not_in_{other}", params=(text,)),
    ]  # fmt: skip
