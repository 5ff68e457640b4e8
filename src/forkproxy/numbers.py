"""Number rewriting: a short list of rules of the form ``PATTERN -> NUMBER``; the first that matches holds.

``*`` in the pattern stands for any characters; in the number, for what it stood for. So one form takes digits
away (``0* -> *``), puts some in front (``* -> 9*``), and makes national numbers E.164 (``0* -> +49*``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_RULE = re.compile(r" *(?P<pattern>[+0-9A-Za-z*#._-]{1,64}?) *-> *(?P<number>[+0-9A-Za-z*#._-]{1,64}) *")


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule; `parse` makes it of its text."""

    head: str
    """What the number begins with, before the star."""
    tail: str | None
    """What it ends with, behind the star; None: there is no star, and `head` is the number."""
    before: str
    after: str | None
    """Likewise of what the number becomes."""

    @classmethod
    def parse(cls, text: str) -> Rule:
        """
        Raises:
            ValueError: it is none; the message says why.
        """
        match = _RULE.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r} is not a rule (PATTERN -> NUMBER, as in '0* -> +49*')")
        for part in (match["pattern"], match["number"]):
            if part.count("*") > 1:
                raise ValueError(f"{text!r}: a rule has one * on each side at the most")
        if "*" in match["number"] and "*" not in match["pattern"]:
            raise ValueError(f"{text!r}: * stands for nothing, the pattern has none")
        head, star, tail = match["pattern"].partition("*")
        before, kept, after = match["number"].partition("*")
        return cls(head, tail if star else None, before, after if kept else None)

    def apply(self, number: str) -> str | None:
        """What becomes of `number`; None: the rule is not for it.

        >>> Rule.parse("0* -> +49*").apply("030123456")
        '+4930123456'
        """
        if self.tail is None:
            if number != self.head:
                return None
            middle = ""
        else:
            if len(number) < len(self.head) + len(self.tail):
                return None
            if not (number.startswith(self.head) and number.endswith(self.tail)):
                return None
            middle = number[len(self.head) : len(number) - len(self.tail)]
        return self.before if self.after is None else f"{self.before}{middle}{self.after}"


def rewrite(rules: Iterable[Rule], number: str) -> str:
    """`number` by the first rule that is for it; as it is when there is none.

    >>> rewrite([Rule.parse("00* -> +*"), Rule.parse("0* -> +49*")], "0044207946")
    '+44207946'
    """
    for rule in rules:
        changed = rule.apply(number)
        if changed is not None:
            return changed
    return number
