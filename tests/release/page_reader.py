"""A page read back from its bytes, as a browser would find it."""

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "link", "rect", "path", "br", "hr", "img", "input", "circle"}


@dataclass
class Table:
    caption: str = ""
    rows: list[list[str]] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    header_cells: list[dict[str, str | None]] = field(default_factory=list)


class Page(HTMLParser):
    """Its tags in order, its tables, tiles (class, name on the tile, number), text, and paragraphs by class."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.tables: list[Table] = []
        self.tiles: list[tuple[str, str, str]] = []
        self.text = ""
        self.by_class: dict[str, list[str]] = {}
        self.headings: list[str] = []
        self.pictures: list[dict[str, str]] = []
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
        if tag == "table":
            self.tables.append(Table())
        if tag == "tr":
            self.tables[-1].rows.append([])
            self.tables[-1].ids.append(attributes.get("id", ""))
        if tag in ("td", "th"):
            self.tables[-1].rows[-1].append("")
        if tag == "th":
            self.tables[-1].header_cells.append(attributes)
        if tag == "g" and "transform" in attributes and self._within("div", "wide map"):
            self._tile = (attributes["class"], [])
        if tag == "text" and self._tile:
            self._tile[1].append("")
        if tag in ("h1", "h2"):
            self.headings.append("")
        if tag == "svg" and "role" in attributes:
            self.pictures.append({"role": attributes["role"], "title": "", "desc": ""})
        if tag in ("p", "ul", "li", "nav", "section") and "class" in attributes:
            self.by_class.setdefault(attributes["class"], []).append("")

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        if tag in VOID:
            return
        assert self._open[-1][0] == tag, (tag, self._open)
        if tag == "g" and self._tile is not None:
            self.tiles.append((self._tile[0], *self._tile[1]))
            self._tile = None
        self._open.pop()

    def handle_data(self, data):
        if not self._open:
            return
        self.text += data
        tag, _ = self._open[-1]
        if self._within("td") or self._within("th"):
            self.tables[-1].rows[-1][-1] += data.replace("\u00ad", "")
        if tag == "caption":
            self.tables[-1].caption += data
        if tag == "text" and self._tile:
            self._tile[1][-1] += data
        if self._within("h1") or self._within("h2"):
            self.headings[-1] += data
        if tag in ("title", "desc") and self._open[-2][0] == "svg" and self.pictures:
            self.pictures[-1][tag] += data
        for inside, attributes in self._open:
            if attributes.get("class") in self.by_class and inside in ("p", "ul", "li", "nav", "section"):
                self.by_class[attributes["class"]][-1] += data

    def _within(self, tag, css_class=None):
        return any(one == tag and css_class in (None, attributes.get("class")) for one, attributes in self._open)
