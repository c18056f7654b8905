"""What the model reads. A newline at the end of the prompt can halve a score, so there are two forms of each.

HumanEval's prompt is a function's signature and docstring, MBPP's (as in bigcode-evaluation-harness, after InCoder) a
docstring of the task and its first test. Both end in a newline as they were published: many tokenizers have the newline
and the indentation after it as one token, which a model that is given the newline alone has to split as no text of its
training was. bigcode strips the prompt; others give it as it is. Both are stated with every score.
"""

from __future__ import annotations

from typing import Literal, get_args

PromptForm = Literal["stripped", "as-given"]
PROMPT_FORMS: tuple[PromptForm, ...] = get_args(PromptForm)


def prompt_text(prompt: str, form: PromptForm) -> str:
    """`prompt` without white space at its ends, or as it is."""
    return prompt.strip() if form == "stripped" else prompt
