"""A page read back from its bytes, as a browser would find it."""

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "link", "rect", "path", "br", "hr", "img", "input"}


@dataclass
class Table:
    caption: str = ""
    rows: list[list[str]] = field(default_factory=list)
    header_cells: list[dict[str, str | None]] = field(default_factory=list)


@dataclass
class Section:
    """One indicator: its tables, its sentence and its tiles (class, name, number)."""

    heading: str = ""
    tables: list[Table] = field(default_factory=list)
    tiles: list[tuple[str, str, str]] = field(default_factory=list)
    text: str = ""
    paragraphs: dict[str, str] = field(default_factory=dict)
    scale: list[str] = field(default_factory=list)


class Page(HTMLParser):
    def __init__(self, content: bytes) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.tables: list[Table] = []
        self.sections: list[Section] = []
        self.text = ""
        self._open: list[tuple[str, dict[str, str | None]]] = []
        self._tile: tuple[str, list[str]] | None = None
        self.feed(content.decode())
        self.close()
        assert not self._open, self._open

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.append((tag, attributes))
        if tag in VOID:
            return
        self._open.append((tag, attributes))
        if tag == "section":
            self.sections.append(Section())
        if tag == "table":
            self.tables.append(Table())
            if self._within("section"):
                self.sections[-1].tables.append(self.tables[-1])
        if tag == "tr":
            self.tables[-1].rows.append([])
        if tag in ("td", "th"):
            self.tables[-1].rows[-1].append("")
        if tag == "th":
            self.tables[-1].header_cells.append(attributes)
        if tag == "g" and self._within("figure") and not self._within("ul"):
            self._tile = (attributes["class"], [])
        if tag == "text":
            self._tile[1].append("")
        if tag == "li" and self._within("ul", "scale"):
            self.sections[-1].scale.append("")

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        if tag in VOID:
            return
        assert self._open[-1][0] == tag, (tag, self._open)
        if tag == "g" and self._tile is not None:
            self.sections[-1].tiles.append((self._tile[0], *self._tile[1]))
            self._tile = None
        self._open.pop()

    def handle_data(self, data):
        if self._within("style"):
            return
        self.text += data
        if not self._open:
            return
        tag, attributes = self._open[-1]
        if self._within("td") or self._within("th"):
            self.tables[-1].rows[-1][-1] += data.replace("\u00ad", "")
        if tag == "caption":
            self.tables[-1].caption += data
        if tag == "text":
            self._tile[1][-1] += data
        if self._within("section"):
            section = self.sections[-1]
            section.text += data
            if tag == "h2":
                section.heading += data
            if tag == "p" and attributes.get("class"):
                section.paragraphs[attributes["class"]] = section.paragraphs.get(attributes["class"], "") + data
            if self._within("ul", "scale") and self._within("li"):
                section.scale[-1] += data

    def _within(self, tag, css_class=None):
        return any(one == tag and css_class in (None, attributes.get("class")) for one, attributes in self._open)
