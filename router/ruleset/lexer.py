"""Expression text to tokens."""

from __future__ import annotations


class LanguageError(Exception):
    """A text of the rule language that cannot be compiled. The loader adds file and line."""

    def __init__(self, code: str, message: str, hint: str = "", *, start: int = 0, end: int = 1) -> None:
        super().__init__(message)
        #: `syntax`, `limit`, `unknown-function`, `arguments`, `unknown-variable`, `regex`, `unknown-table`, `timezone`,
        #: `region`
        self.code = code
        self.message = message
        self.hint = hint
        #: from 1, in characters within the text
        self.column = start + 1
        #: characters, at least 1
        self.length = max(1, end - start)
