"""Pages of HTML as a test looks at them."""

from html.parser import HTMLParser
from typing import Any


class Page(HTMLParser):
    """Elements, texts of table cells, and what was opened and not closed."""

    VOID = {"meta", "link", "img", "input"}

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, Any]]] = []
        self.open: list[str] = []
        self.cells: list[list[Any]] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()

    def count(self, kind: str) -> int:
        """How many elements there are of a class."""
        return sum(attributes.get("class") == kind for _, attributes in self.tags)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "td":
            self.cells.append([dict(attributes).get("data-value"), ""])

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)
        if "td" in self.open:
            self.cells[-1][1] += data
