"""Texts that nearly repeat a column of the row, or other answers."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rapidfuzz import fuzz

from include.enrichment.answers.checks.check import Difference, Uniqueness
from include.enrichment.answers.checks.kind import Answers, TextKind, text_of, texts_at
from include.enrichment.answers.checks.texts.archive import Archive
from include.enrichment.answers.checks.texts.folding import folded
from include.enrichment.answers.checks.texts.near_repeats import NearRepeats

#: A longer key of a row is cut in a reason.
_NAME_CHARACTERS = 200


class DiffersFrom(TextKind):
    """
    Each text must differ from one of the row's columns, by more than case and white space.

    The similarity is the share of characters that both have in the same order.
    """

    def __init__(self, fields: Sequence[str], difference: Difference) -> None:
        super().__init__(fields)
        self.columns = [difference.column]
        self._most = difference.at_most

    def facts(self, row: Mapping[str, Any]) -> str | None:
        text = text_of(row, self.columns[0])
        return text and folded(text)

    def problem(self, text: str, fact: Any) -> str | None:
        if not fact:
            return None
        similarity = fuzz.ratio(folded(text), fact, score_cutoff=100 * self._most) / 100
        if similarity <= self._most:
            return None
        return f"is {100 * similarity:.0f} % the same as {self.columns[0]}; at most {100 * self._most:.0f} % is allowed"


@dataclass(frozen=True, kw_only=True)
class RowNames:
    """
    What tells the rows of a pipeline apart.

    :param key: the columns of the business key
    :param for_each: the names of for_each
    :param sample: the column with the number of the sample; None: each row has one sample
    """

    key: Sequence[str]
    for_each: Sequence[str] = ()
    sample: str | None = None


class Unique:
    """
    Each text must differ from those of other answers by more than case and white space.

    Of two texts that are alike, the one of the later row fails. The similarity is that of DiffersFrom. Rows that share
    a request have the same answer, so they are not compared.

    Raises ValueError if samples are to be compared and each row has one.
    """

    def __init__(self, fields: Sequence[str], uniqueness: Uniqueness, names: RowNames) -> None:
        if uniqueness.among == "samples" and names.sample is None:
            raise ValueError("each row has one sample: raise `samples` in pipeline.yaml, or compare `rows`")
        self.paths = {field: field.split(".") for field in fields}
        self.among, self.most = uniqueness.among, uniqueness.at_most
        self._names = names

    @property
    def limit(self) -> str:
        """Return what is allowed."""
        return f"at most {100 * self.most:.0f} % is allowed"

    @property
    def complaint(self) -> str:
        """Return the complaint to Claude, the same for every answer that fails."""
        others = "another row" if self.among == "rows" else "another sample of its row"
        return f"{' or '.join(self.paths)} is nearly the same as that of {others}; {self.limit}"

    def facts(self, row: Mapping[str, Any]) -> list[Any]:
        """Return the row's key as a text, the values of for_each and the number of the sample."""
        key = ", ".join(f"{name}={text_of(row, name)}" for name in self._names.key)
        group = [text_of(row, name) for name in self._names.for_each]
        return [key, group, row[self._names.sample] if self._names.sample else 1]


@dataclass(frozen=True, kw_only=True)
class _Text:
    """
    A text of an answer.

    :param row: the key of its row
    :param like: the numbers of the earlier texts that it may repeat
    """

    field: str
    text: str
    row: str
    request_id: str
    sample: int
    like: Sequence[int]


class Comparison:
    """
    Compares the texts of answers with those of earlier answers, for one check. The answers of the rows come in source
    order, some at once; how many makes no difference.
    """

    def __init__(self, check: Unique) -> None:
        self._check = check
        self._find: _AmongRows | _AmongSamples = _AmongRows() if check.among == "rows" else _AmongSamples()
        self._entries = Archive()
        self._published = bytearray()
        self._answers: list[list[_Text]] = []

    def read(
        self, facts: Sequence[Any], answers: Answers, request_ids: Sequence[str | None], usable: Sequence[bool]
    ) -> None:
        """
        Take the next answers.

        :param facts: of each answer's row
        :param usable: False: the answer will not be published, so that no other one can repeat it
        """
        texts = [
            (number, field, text)
            for number, output in enumerate(answers.values)
            for field, path in self._check.paths.items()
            for found in texts_at(output, path)
            if (text := folded(found))
        ]
        like = self._find.add(
            [text for _, _, text in texts],
            [json.dumps([*facts[number][1], field]) for number, field, _ in texts],
            [facts[number][0] for number, _, _ in texts],
            [usable[number] for number, _, _ in texts],
        )
        self._answers = [[] for _ in facts]
        for (number, field, text), others in zip(texts, like, strict=True):
            key, _, sample = facts[number]
            self._answers[number].append(
                _Text(
                    field=field,
                    text=text,
                    row=key,
                    request_id=request_ids[number] or "",
                    sample=sample,
                    like=others,
                )
            )

    def problem(self, number: int) -> str | None:
        """Return what one of the answers repeats. Each answer before it must have been decided."""
        return next(filter(None, map(self._repeated, self._answers[number])), None)

    def decide(self, number: int, *, published: bool) -> None:
        """Say whether one of the answers will be published, so that later ones must differ from it."""
        for text in self._answers[number]:
            self._published.append(published)
            entry = (text.row, text.request_id, str(text.sample), text.text) if published else ()
            self._entries.append(entry)

    def _repeated(self, text: _Text) -> str | None:
        """The most similar earlier text; of equally similar ones the first."""
        most, whose = self._check.most, ""
        for number in text.like:
            # An answer's own texts are not decided yet.
            if number >= len(self._published) or not self._published[number]:
                continue
            row, request_id, sample, other = self._entries[number]
            if request_id == text.request_id or (self._check.among == "rows" and row == text.row):
                continue
            similarity = fuzz.ratio(text.text, other, score_cutoff=100 * most) / 100
            if similarity > most:
                most, whose = similarity, row[:_NAME_CHARACTERS] if self._check.among == "rows" else f"sample {sample}"
        if not whose:
            return None
        return f"{text.field} is {int(100 * most)} % the same as that of {whose}; {self._check.limit}"


class _AmongRows:
    """Finds the texts that may be alike among those of all rows."""

    def __init__(self) -> None:
        self._repeats = NearRepeats()

    def add(
        self, texts: Sequence[str], groups: Sequence[str], rows: Sequence[str], counted: Sequence[bool]
    ) -> list[list[int]]:
        return self._repeats.add(texts, [zlib.crc32(group.encode()) for group in groups], counted)


class _AmongSamples:
    """Finds the earlier texts of the same row. Its samples follow each other."""

    def __init__(self) -> None:
        self._row = ""
        self._groups: dict[str, list[int]] = {}
        self._count = 0

    def add(
        self, texts: Sequence[str], groups: Sequence[str], rows: Sequence[str], counted: Sequence[bool]
    ) -> list[list[int]]:
        found = []
        for row, group in zip(rows, groups, strict=True):
            if row != self._row:
                self._row, self._groups = row, {}
            same = self._groups.setdefault(group, [])
            found.append(list(same))
            same.append(self._count)
            self._count += 1
        return found
