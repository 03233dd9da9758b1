"""The files of a pipeline's folder, and those that a variant has in their place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from include.enrichment.spec.variants.settings import VariantSettings

#: The files of a pipeline's folder, some of which a setting or its absence replaces.
FILES = ("pipeline.yaml", "extract.sql", "system.md", "user.md", "output.schema.json")
YAML, SQL, SYSTEM, USER, SCHEMA = FILES
#: Optional parts of the folder: a subfolder of *.md files, and two files.
CONTEXT, EXAMPLES, CHECKS = "context", "examples.jsonl", "checks.yaml"


def is_in_folder(path: str) -> bool:
    """Return whether a path is that of a file within the pipeline's folder."""
    return path.isprintable() and "\\" not in path and not {"", ".", ".."} & set(path.split("/"))


@dataclass(frozen=True, kw_only=True)
class PromptFiles:
    """
    The files that make the requests, by their names in the folder.

    :param context: the name of a subfolder
    """

    system: str = SYSTEM
    user: str = USER
    schema: str = SCHEMA
    context: str = CONTEXT
    examples: str = EXAMPLES

    @classmethod
    def of(cls, variant: VariantSettings) -> PromptFiles:
        """Return the files of a variant."""
        return cls(**dict(variant.named_files))

    @property
    def replaced(self) -> dict[str, str]:
        """The name of each file that replaces one of the pipeline's, by the name of that one."""
        own = PromptFiles()
        pairs = ((getattr(own, field.name), getattr(self, field.name)) for field in fields(self))
        return {old: new for old, new in pairs if new != old}

    def is_context(self, file: str) -> bool:
        """Return whether a file is one of its context."""
        return file.startswith(f"{self.context}/")

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names, without the context."""
        return iter((self.system, self.user, self.schema, self.examples))
