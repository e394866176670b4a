"""What kdnb adds to Sphinx: notebooks tidied for a reader, an entry for each public name where it is defined,
a study's committed tables and figures on its page, and names in code type as links."""
import ast, html, io, json, re
from collections import Counter
from pathlib import Path

import itables, yaml
import pandas as pd
from docutils import nodes
from docutils.utils import new_document
from myst_parser.mocking import MockRSTParser
from sphinx.addnodes import pending_xref
from sphinx.transforms import SphinxTransform
from sphinx.util.docutils import SphinxDirective

ROOT = Path(__file__).resolve().parents[2]
CAPTIONS = yaml.safe_load((ROOT/"figures"/"captions.yml").read_text(encoding="utf-8"))  # study -> figure -> caption
embedded_first = lambda p: ("fashion_mnist_mini" not in p.parts, p)
flat = lambda markdown: re.sub(r"^#+ +(.+)$", r"**\1**", markdown, flags=re.M)  # headings of a table or output are not the page's


# An entry for each public name: signature and docstring by autodoc, the parameters' comments by fastcore's docments

def entries(code):
    "Sphinx's directives for what an exported cell defines."
    made, lines = {}, code.splitlines()
    for node in ast.parse(code).body:
        if isinstance(node, ast.FunctionDef): made[node.name] = f".. autofunction:: {node.name}"
        if isinstance(node, ast.ClassDef): made[node.name] = f".. autoclass:: {node.name}\n   :members:"
        if not isinstance(node, ast.Assign): continue
        value, comment = " ".join(ast.unparse(node.value).split())[:88], lines[node.end_lineno - 1].partition("  # ")[2]
        for n in (n for t in node.targets for n in getattr(t, "elts", [t]) if isinstance(n, ast.Name)):
            made[n.id] = f".. py:data:: {n.id}\n   :value: {value}\n\n   {prose(comment)}"
    return "\n\n".join(text for name, text in made.items() if name[0] != "_")


class Rst(SphinxDirective):
    "As MyST's eval-rst, which is slow on notebooks: it pads the text with a line for each line above, 10,000 a cell."
    has_content = True

    def run(self):
        doc = new_document(self.env.docname, self.state.document.settings)
        doc.reporter = self.state.document.reporter
        MockRSTParser().parse("\n".join(self.content), doc)
        return doc.children


def prose(text):
    "A comment or docstring as reStructuredText: code and formulas stay, the rest means itself."
    parts = re.split(r"(`[^`]+`|\$[^$]+\$)", text)
    kept = lambda p: f"``{p.strip('`')}``" if p[0] == "`" else f":math:`{p.strip('$')}`"
    return "".join(f"\\ {kept(p)}\\ " if i % 2 else re.sub(r"([\\*_|`])", r"\\\1", p) for i, p in enumerate(parts))


def add_comments(app, what, name, obj, options, lines):
    "Autodoc asks for a docstring: add the comments beside the parameters."
    from fastcore.docments import docments
    lines[:] = [prose(line) for line in lines]
    try: found = docments(obj, returns=True) if what in ("class", "function", "method") else {}
    except (TypeError, OSError, SyntaxError): return  # no source to read
    field = lambda n: "returns" if n == "return" else f"param {n}"
    lines += ["", *(f":{field(n)}: {prose(' '.join(c.split()))}" for n, c in found.items() if isinstance(c, str) and n != "self"), ""]


class LinkNames(SphinxTransform):
    "A public name or a notebook's name in code type becomes a link."
    default_priority = 500

    def apply(self, **kwargs):
        from kdnb._modidx import d
        page, here, links = self.env.docname, self.env.ref_context.get("py:module"), {}
        names = [(full, full.removeprefix(f"{m}."), m) for m, symbols in d["syms"].items() for full in symbols]
        times = Counter(name for _, name, _ in names)
        for full, name, module in names:
            about = dict(refdomain="py", reftype="obj", reftarget=full)
            links[full.removeprefix("kdnb.")] = about
            if times[name] == 1 or module == here: links[name] = about
        books = [p for p in self.env.found_docs if p != page and re.match(r"(.*/)?\d\d[_-]", p)]
        links |= {Path(p).name: dict(refdomain="std", reftype="doc", refexplicit=True, reftarget=f"/{p}") for p in books}
        for node in list(self.document.findall(nodes.literal)):
            about = links.get(re.sub(r"\(.*\)$|\.ipynb$", "", node.astext()))
            if not about or isinstance(node.parent, (nodes.reference, pending_xref, nodes.title)): continue
            link = pending_xref("", refdoc=page, refwarn=False, **about)
            node.replace_self(link); link += node


# Pages

def read_page(app, docname, source):
    "Sphinx has read a page: make it what a reader wants to see."
    if docname == "gallery": source[0] += gallery()
    if app.env.doc2path(docname).suffix != ".ipynb": return
    book, made = json.loads(source[0]), []  # cells: Markdown as text, code as a dict
    module = re.search(r'^ *"#\| default_exp (\S+)"$', source[0], re.M)
    results = sorted(ROOT.glob(f"figures/*/*/{docname.removeprefix('experiments/')}"), key=embedded_first)
    left = {p.stem for r in results for p in r.iterdir()}  # what is not on the page yet
    for c in book["cells"]:
        text = "".join(c["source"])
        if c["cell_type"] == "markdown": made.append(relinked(text))
        elif not (results and "committed(" in text): made += read_code(text, c["outputs"], module, results)
        if module and len(made) == 1: made.append(f"```{{py:module}} kdnb.{module[1]}\n```")
        named = [n for n in re.findall(r"\"([\w-]+)\"", text) if n in left] if "report." in text else []
        made += study_parts(results, named)
        left -= set(named)
    if left: made += ["## Further tables and figures", *study_parts(results, sorted(left))]
    if any('class="board"' in c for c in made): made.append(board_script())
    if docname == "index": made.append(sidebar(app.env.found_docs))
    cells = [c if isinstance(c, dict) else dict(cell_type="markdown", metadata={}, source=c) for c in made]
    source[0] = json.dumps(book | dict(cells=[c | dict(id=f"c{i}") for i, c in enumerate(cells)]))


def read_code(text, outputs, module, fold):
    "The cells of the page for one code cell of the notebook."
    asks = {*re.findall(r"^#\| *(\w+)", text, re.M)}
    code = re.sub(r"^#\|.*\n?", "", text, flags=re.M).strip()
    if asks & {"hide", "default_exp"} or not code: return []
    for o in outputs:
        if said := o.get("data", {}).get("text/markdown"): o["data"]["text/markdown"] = relinked(flat("".join(said)))
    entry = entries(code) if "export" in asks else ""
    test = module and not outputs and re.search(r"^\s*(assert |test_\w+\()", code, re.M)
    prompt = "code" if entry or fold else "more code" if "export" in asks else "test" if test else ""
    tags = ["remove-input"] if "echo" in asks else ["hide-input"] if prompt else []
    meta = dict(tags=tags, mystnb=dict(code_prompt_show=prompt, code_prompt_hide=prompt))
    cell = dict(cell_type="code", metadata=meta, source=code, outputs=outputs, execution_count=None)
    return [f"````{{rst}}\n{entry}\n````", cell] if entry else [cell]


def relinked(text):
    "Links to committed results lead to their study's page."
    text = re.sub(r"\]\([./]+/figures/\w+/\w+/([\w-]+)(/[\w-]+\.md)?/?\)", r"](/experiments/\1.ipynb)", text)
    return text.replace("](../CONTRIBUTING.md)", "](/contributing.md)")


# A study's committed tables and figures, a tab for each data set

def study_parts(results, names):
    "Markdown for each of these tables and figures that is committed."
    for name in dict.fromkeys(names):
        tabs = {r.parent.name: text for r in results if (text := table(r/f"{name}.md") + figure(r/f"{name}.svg"))}
        items = "\n".join(f"````{{tab-item}} {data}\n:sync: {data}\n\n{text}\n````" for data, text in tabs.items())
        yield from [f"`````{{tab-set}}\n{items}\n`````"] if len(tabs) > 1 else tabs.values()


def caption(file): return CAPTIONS.get(file.parent.name, {}).get(file.stem, file.stem)


def figure(file):
    return f"\n```{{figure}} ../../{file.relative_to(ROOT)}\n:alt: {file.stem}\n\n{caption(file)}\n```\n" if file.exists() else ""


def table(file):
    "A committed table or page of text, and a link to its rows; a long table can be sorted."
    if not file.exists(): return ""
    grid = lambda m: (board(m[0]) if m[0].count("\n") > 15 else m[0]) + "\n"
    csv = file.with_suffix(".csv")
    rows = f"\n\n{{download}}`{csv.name} <../../{csv.relative_to(ROOT)}>`\n" if csv.exists() else ""
    return re.sub(r"(?:^\|.*\n?)+", grid, flat(file.read_text(encoding="utf-8")), flags=re.M) + rows


def board(text):
    "A Markdown table by itables, numbers as numbers."
    cells = dict(sep=r" *(?<!\\)\| *", engine="python", skiprows=[1], thousands=",", keep_default_na=False)
    frame = pd.read_csv(io.StringIO(html.escape(text)), **cells).iloc[:, 1:-1].rename(columns={"Unnamed: 1": ""})
    looks = dict(showIndex=False, paging=False, scrollY="36rem", scrollX=True, scrollCollapse=True, classes="display compact")
    made = itables.to_html_datatable(frame, connected=False, maxBytes=0, allow_html=True, **looks)
    return f"\n```{{raw}} html\n<div class=\"board\">{made}</div>\n```\n"


def board_script():
    "The script of itables, written into the page: nothing is fetched."
    return f"```{{raw}} html\n{itables.javascript.generate_init_offline_itables_html(itables.options.dt_bundle)}\n```"


def gallery():
    "Every committed figure, a card each."
    text = ""
    for study in CAPTIONS:
        text += f"\n\n## {study}\n\n::::{{grid}} 1 2 2 2\n:gutter: 3\n\n"
        for p in sorted(ROOT.glob(f"figures/*/*/{study}/*.svg"), key=embedded_first):
            link = f":img-top: ../{p.relative_to(ROOT)}\n:link: experiments/{study}\n:link-type: doc"
            text += f":::{{grid-item-card}}\n{link}\n\n{caption(p)} ({p.parts[-3]})\n:::\n"
        text += "::::"
    return text


def sidebar(docs):
    "The tables of contents (contents.md): every page is in one of them."
    experiments = {Path(d).name: f"{Path(d).name} <{d}>" for d in sorted(docs) if d.startswith("experiments/")}
    studies = "\n".join(experiments.pop(s) for s in CAPTIONS)
    text = (ROOT/"nbs"/"_ext"/"contents.md").read_text(encoding="utf-8")
    return text.replace("STUDIES", studies).replace("EXPERIMENTS", "\n".join(experiments.values()))


def setup(app):
    app.connect("source-read", read_page)
    app.connect("autodoc-process-docstring", add_comments)
    app.add_directive("rst", Rst)
    app.add_transform(LinkNames)
    return dict(env_version=6, parallel_read_safe=True, parallel_write_safe=True)
