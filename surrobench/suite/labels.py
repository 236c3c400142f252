"""Check the names that a suite gives to its methods, models and claims.

They stand in tables, figures, spreadsheets and names of files. Folders of earlier versions, which checked
nothing, stay readable.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

from surrobench.errors import UsageError, located_at

LONGEST = 80
"""Characters of a label at most."""
SIGNS = " ._-+:/()[]%,@="
"""What a label may hold beside letters and digits."""
SIGNS_OF_MODELS = "._-+:@"
"""What a model's label may hold beside letters and digits: it is a part of names of files."""
_NOT_FIRST = " +-=@%,:/)]"
"""What no label begins with: a spreadsheet takes some of them for a formula."""


def check_labels(kind: str, labels: Iterable[str], signs: str = SIGNS) -> None:
    """Check labels.

    Args:
        kind: what they are labels of, for the error: ``optimizers``, ``models``, ``claims``.
        labels: what to check.
        signs: which characters they may hold beside letters and digits.

    Raises:
        UsageError: a label is empty or too long, or holds or begins with another character; its ``keys`` are
            the label.
    """
    shown = " ".join(signs.replace(" ", "")) + (" and spaces" if " " in signs else "")
    for label in labels:
        if not 0 < len(label) <= LONGEST:
            problem, remedy = f"has {len(label)} characters", f"A label has 1 to {LONGEST}."
        elif label[0] in _NOT_FIRST or label[-1] == " ":
            problem, remedy = "begins with a sign or ends with a space", "Begin it with a letter."
        elif wrong := [c for c in label if not (_is_word(c) or c in signs)]:
            problem, remedy = f"has the character {wrong[0]!r}", f"A label has letters, digits, {shown}."
        else:
            continue
        cut = label if len(label) <= LONGEST else f"{label[:20]}..."
        with located_at(label):
            raise UsageError(f"{kind}: the label {cut!r} {problem}.", remedy)


def _is_word(character: str) -> bool:
    """Return whether a character is a letter of any script, with its accents, or a digit."""
    return unicodedata.category(character)[0] in "LMN"
