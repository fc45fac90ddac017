"""Sphinx's settings: docs/*.md as a book.

The pages are written for whoever reads them beside the code, so that links lead to files of the repository. Here a link
to an example leads to a page that shows it, one to a header or a binding to its reference, and a drawing is drawn.
docs/index.md is the table of contents: its headings and lists become the navigation.
"""
import re
import sys
import textwrap
from pathlib import Path

from markdown_it import MarkdownIt

sys.path.insert(0, str(Path(__file__).parent))
import drawing

ROOT = Path(__file__).resolve().parents[2]
# Where the references lie in the site, of what they are made.
REFERENCES = {
    "include/floatlease.h": "c/floatlease_8h.html",
    "include/floatlease_sandbox.h": "c/floatlease__sandbox_8h.html",
    "include/floatlease.hpp": "c/floatlease_8hpp.html",
    "include/floatlease_sandbox.hpp": "c/floatlease__sandbox_8hpp.html",
    "include": "c/index.html",
    "bindings/csharp": "csharp/index.html",
    "bindings/python": "python/floatlease.html",
}
LANGUAGES = {".c": "c", ".h": "c", ".hpp": "cpp", ".cpp": "cpp", ".cs": "csharp", ".py": "python", ".toml": "toml",
             ".json": "json"}
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# What is said of one language, with the blocks that follow.
TOLD = r"^\*\*(?:C|C\+\+|C#|Python)\*\*.*\n(?:.+\n)*(?:\n```.*\n(?:(?!```).*\n)*```\n)+\n?"
LINK = re.compile(r"\]\(\.\./([^)#]*)\)")

project = "floatlease"
release = re.search(r'^version = "(.*)"', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)[1]
extensions = ["myst_parser", "sphinx_design"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
# A page of the site that Sphinx does not make; scripts/docs/links looks whether it is there.
myst_url_schemes = {"http": None, "https": None, "site": "{{path}}"}

smartquotes = False

html_theme = "furo"
html_title = f"floatlease {release}"
html_show_copyright = False
html_copy_source = False
html_show_sourcelink = False
templates_path = ["templates"]
html_static_path = ["book.css"]
html_css_files = ["book.css"]
html_sidebars = {"**": ["sidebar/brand.html", "sidebar/search.html", "sidebar/scroll-start.html",
                        "sidebar/navigation.html", "references.html", "sidebar/scroll-end.html"]}
html_context = {"references": []}

shown: set[str] = set()


def of_the_site(match: re.Match) -> str:
    """A link to a file of the repository, as a link to a page of the site."""
    path = match[1].rstrip("/")
    if path in REFERENCES:
        return f"](site:{REFERENCES[path]})"
    shown.add(path)
    return f"](site:source/{path}.html)"


def contents(text: str) -> str:
    """The lists of the start page as the book's navigation; what is no page of it goes to the references."""
    trees = []
    for section in text.split("\n## ")[1:]:
        title, lists = section.split("\n", 1)
        items = re.findall(r"^- \[(.*?)\]\((.*?)\)", lists, re.MULTILINE)
        html_context["references"] += [(name, link[5:]) for name, link in items if link.startswith("site:")]
        pages = "\n".join(f"{name} <{link}>" for name, link in items if link.endswith(".md"))
        if pages:
            trees.append(f"```{{toctree}}\n:hidden:\n:caption: {title}\n\n{pages}\n```\n")
    return text + "\n" + "\n".join(trees)


def block(match: re.Match) -> str:
    """A block: drawn, or code from the middle of an example, without the margin it has there."""
    if match[1] == "mermaid":
        return f"```{{raw}} html\n{drawing.svg(match[2])}\n```"
    # The calls of a sandbox look like HTTP to GitHub, and are none.
    language = "text" if match[1] == "http" else match[1]
    return f"```{language}\n{textwrap.dedent(match[2])}```"


def side_by_side(match: re.Match) -> str:
    """What is said of several languages, one after the other, as tabs; the reader's choice holds for the whole page."""
    tabs = ["::::{tab-set}"]
    for told in re.findall(TOLD, match[0], re.MULTILINE):
        language, rest = re.fullmatch(r"\*\*(.+?)\*\*[,:]?\s*(.*?)\n*", told, re.DOTALL).groups()
        tabs.append(f":::{{tab-item}} {language}\n:sync: {language}\n\n{rest[:1].upper()}{rest[1:]}\n:::")
    return "\n".join(tabs) + "\n::::\n\n"


def as_read(app, name, source) -> None:
    text = LINK.sub(of_the_site, source[0])
    text = re.sub(f"(?:{TOLD}){{2,}}", side_by_side, text, flags=re.MULTILINE)
    text = BLOCK.sub(block, text)
    source[0] = contents(text) if name == "index" else text


def sources(app):
    """The files that pages link to, a page each."""
    def highlighted(text: str, language: str, _=None) -> str:
        return app.builder.highlighter.highlight_block(text, language or "text")

    markdown = MarkdownIt("commonmark", {"highlight": highlighted}).enable("table")
    for path in sorted(shown):
        text, kind = (ROOT / path).read_text(encoding="utf-8"), Path(path).suffix
        body = f"<h1>{path}</h1>\n{highlighted(text, LANGUAGES.get(kind))}"
        if kind == ".md":
            body = markdown.render(text).replace("<table>", '<table class="docutils">')
        yield f"source/{path}", {"title": path, "body": body}, "page.html"


def setup(app) -> None:
    app.connect("source-read", as_read)
    app.connect("html-collect-pages", sources)
