"""What textbooks and exercises are about: lists made by hand, whose combinations are what keeps answers apart."""

from __future__ import annotations


def _items(text: str) -> tuple[str, ...]:
    return tuple(item.strip() for item in " ".join(text.split()).split(";"))


TOPICS = _items("""
    naming values with variables; integers and what division does to them; rounding and the error of floats;
    text as a sequence of characters; cutting strings with slices; joining and splitting text; formatting with
    f-strings; comparing strings and sorting words; booleans and short-circuit evaluation; chains of if and
    elif; early return instead of deep nesting; counting with while; counting with for and range; enumerate
    instead of an index; zip over two lists; loops that search and stop; loops that accumulate; nested loops
    over a grid; break and continue; the else branch of a loop; lists and what they share when assigned;
    changing a list while going through it; copying lists, shallow and deep; sorting with a key; stable sorting
    and sorting twice; list comprehensions; comprehensions with a condition; generator expressions and memory;
    tuples and unpacking; swapping and rotating values; dictionaries as lookup tables; counting with a
    dictionary; grouping items by a key; inverting a dictionary; default values and setdefault; merging
    dictionaries; sets and membership; intersections and differences of sets; removing duplicates and keeping
    the order; functions and their parameters; default arguments and the mutable trap; keyword-only arguments;
    variable numbers of arguments; returning several values; functions as values; small functions with lambda;
    closures that remember; decorators from first principles; scope and the nonlocal word; docstrings and
    examples in them; type hints for readers; reading a traceback; raising errors with good messages; try,
    except and else; cleaning up with finally; asserting what must be true; testing a function by its edge
    cases; finding a bug by halving the input; recursion on numbers; recursion on nested lists; memoizing a
    recursive function; from recursion to a loop; linear search; binary search and its boundaries; bubble sort
    and why it is slow; insertion sort; merge sort; quicksort and the choice of a pivot; selection of the k-th
    smallest; the two-pointer technique; sliding windows; prefix sums; a stack and balanced brackets; a queue
    and waiting lines; priority queues with heapq; linked lists by hand; binary trees and traversal; binary
    search trees; tries for words; graphs as dictionaries of neighbours; breadth-first search; depth-first
    search; shortest paths by Dijkstra; union-find; topological order; greedy choices and when they fail;
    dynamic programming on a staircase; the knapsack problem; the longest common subsequence; edit distance;
    backtracking with eight queens; generating permutations; generating subsets; prime numbers and the sieve;
    greatest common divisors; fast exponentiation; number bases and conversion; bits and masks; modular
    arithmetic; fractions without error; matrices as nested lists; rotating and transposing a matrix; random
    numbers and seeds; simulating dice; estimating by Monte Carlo; mean, median and spread; histograms in text;
    moving averages; dates and durations; parsing lines of text; reading CSV by hand and by the module; JSON and
    nested data; regular expressions for fields; validating user input; text statistics of a paragraph; ciphers
    by shifting letters; run-length compression; checksums and check digits; classes as bundles of state;
    methods and self; class invariants; properties; equality and hashing of objects; ordering objects;
    inheritance and overriding; composition over inheritance; data classes; iterators by protocol; generators
    with yield; context managers; operator overloading for vectors; enumerations; simple state machines; event
    queues; caching results; measuring how work grows with input; choosing between list, set and dictionary;
    pure functions and side effects; refactoring a long function; reading other people's code; code that
    explains itself; pipelines of small functions; itertools in practice; functools in practice; collections in
    practice; string builders and joins; interval merging; calendar puzzles; game of life; tic-tac-toe and
    winning lines; bank accounts and transactions; shopping carts and totals; temperature tables; unit
    conversion; grading and averages; seating plans; word games and anagrams; maze solving
""")

AUDIENCES = _items("""
    a school pupil who has never programmed; a first-year student of computer science; a student who is
    preparing for an oral exam; a biologist who works with tables of measurements; an economist who comes from
    spreadsheets; an engineer who knows C and is new to Python; a web designer who knows a little JavaScript; a
    teacher who will explain it to others tomorrow; a programmer who has to interview next week; a self-taught
    hobbyist with gaps in the basics; a tester who wants to understand the code under test; a mathematician who
    thinks in proofs; a musician who learns best from analogies; a professional who has half an hour
""")

FORMS = _items("""
    an explanation that builds one example up step by step; a worked problem: the task, a first idea, what is
    wrong with it, and the good solution; a section of a textbook with two short programs and what each prints;
    a conversation between a learner and a tutor in which the learner's code gets better; a comparison of two
    ways to write the same program and when to choose which; a common mistake, how it shows itself, why it
    happens and how to repair it; a lesson that ends with three exercises and their solutions
""")

VERBS = _items("""
    count; sum; find; filter; group; merge; split; reverse; rotate; sort; rank; compare; validate; normalize;
    compress; expand; encode; decode; parse; format; convert; extract; replace; remove; insert; deduplicate;
    flatten; partition; accumulate; average; tally; match; align; interleave; chunk; index; locate; classify;
    score; simulate; evaluate; generate; enumerate; transpose; schedule; balance; detect; shift
""")

NOUNS = _items("""
    words; vowels; digits; characters; sentences; paragraphs; palindromes; anagrams; prefixes; suffixes;
    substrings; brackets; tokens; lines; columns; rows; cells; matrix; grid; diagonal; triangle; rectangles;
    points; distances; angles; coordinates; vectors; polynomials; fractions; primes; factors; multiples;
    remainders; powers; squares; intervals; ranges; gaps; peaks; valleys; runs; streaks; windows; pairs;
    triplets; subsets; permutations; combinations; sequences; series; cycles; duplicates; outliers; ties;
    medians; modes; quantiles; histogram; frequencies; scores; grades; votes; rankings; prices; discounts;
    invoices; balances; payments; currencies; temperatures; weights; lengths; durations; timestamps; dates;
    weekdays; leap_years; shifts; appointments; seats; queues; stacks; trees; leaves; paths; routes; neighbors;
    islands; networks; friends; edges; cards; dice; moves; tiles; boards; players; teams; matches; recipes;
    ingredients; orders; products; inventory; shelves; books; authors; chapters; tags; emails; usernames;
    passwords; phone_numbers; colors; pixels; notes; chords; playlists; readings; sensors; errors; versions;
    codes; checksums; binary_strings; roman_numerals; nested_lists; dictionaries; records; settings
""")

THEMES = _items("""
    a library; a weather station; a kitchen; a train timetable; a school class; an online shop; a chess club; a
    garden; a hospital ward; a bakery; a music collection; a city map; a sports league; a parking garage; a post
    office; a laboratory; a museum; a warehouse; a language course; a bicycle rental; plain numbers; plain text;
    nothing but lists
""")

CONSTRAINTS = _items("""
    use one loop and no imports; use a dictionary; use a set; use recursion; use a comprehension; use sorting
    with a key; treat empty input on purpose; treat ties on purpose; return a list; return a dictionary; return
    a string; return True or False; return a number; take two arguments; take a list of tuples; take a string;
    take nested data; raise ValueError for what cannot be; keep the order of the input; do not change the input
""")
