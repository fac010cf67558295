"""The report, written anew after each line, so that a stop midway keeps what is done."""

import csv
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..table import markdown_table


@dataclass
class Section:
    """What is said of one part."""

    about: str = ""
    rows: dict[str, Mapping[str, float]] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)

    def markdown(self) -> list[str]:
        """Its paragraphs."""
        table = [markdown_table("", self.rows)] if self.rows else []
        return [text for text in (self.about, *table, *self.remarks) if text]


class Report:
    """`<name>.md` for readers, and the same numbers in `<name>.csv`: part, row, metric, value."""

    def __init__(self, folder: Path, name: str, heading: str, origin: str):
        self.csv, self.markdown = folder / f"{name}.csv", folder / f"{name}.md"
        self._heading, self._origin = heading, origin
        self._sections: defaultdict[str, Section] = defaultdict(Section)
        folder.mkdir(parents=True, exist_ok=True)

    def begin(self, part: str, about: str) -> None:
        """Say what a part measures."""
        self._sections[part].about = about
        self._say(f"\n## {part}\n{about}")

    def add(self, part: str, row: str, numbers: Mapping[str, float]) -> None:
        """A row of its table."""
        self._sections[part].rows[row] = numbers
        self._say(f"{row}: " + ", ".join(f"{metric} {value:.4g}" for metric, value in numbers.items()))

    def remark(self, part: str, text: str) -> None:
        """A sentence under its table: what is missing, and why."""
        self._sections[part].remarks.append(text)
        self._say(text)

    def _say(self, text: str) -> None:
        print(text, flush=True)
        paragraphs = [self._heading]
        with self.csv.open("w", newline="", encoding="utf-8") as file:
            file.write(f"# {self._origin}\n")
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["part", "row", "metric", "value"])
            for part, section in self._sections.items():
                paragraphs += [f"## {part}", *section.markdown()]
                for row, numbers in section.rows.items():
                    writer.writerows([part, row, metric, f"{value:.6g}"] for metric, value in numbers.items())
        self.markdown.write_text("\n\n".join(paragraphs) + "\n", encoding="utf-8")
