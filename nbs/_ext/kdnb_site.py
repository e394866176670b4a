"""What kdnb adds to Sphinx: notebooks tidied for a reader, an entry for each public name where it is defined,
a study's committed tables and figures on its page, and names in code type as links."""
import ast, html, json, re
from collections import Counter
from pathlib import Path

import yaml
from docutils import nodes
from myst_parser.mdit_to_docutils.base import make_document
from myst_parser.mocking import MockRSTParser, RSTParser
from sphinx.addnodes import pending_xref
from sphinx.transforms import SphinxTransform
from sphinx.util.docutils import SphinxDirective

ROOT = Path(__file__).resolve().parents[2]
STUDIES = ["smoothed-kd", "cckd", "robust-kd", "averaging", "leaderboard"]  # the sidebar's order; later ones follow
STUDIES += sorted({p.name for p in ROOT.glob("figures/*/*/*") if p.is_dir()} - set(STUDIES))
CAPTIONS = yaml.safe_load((ROOT/"figures"/"captions.yml").read_text(encoding="utf-8"))
LONG = 15  # a table with more rows can be sorted and filtered
embedded_first = lambda p: ("fashion_mnist_mini" not in p.parts, p)
flat = lambda markdown: re.sub(r"^#+ +(.+)$", r"**\1**", markdown, flags=re.M)  # headings of a table or output are not the page's


# An entry for each public name: signature and docstring by autodoc, the parameters' comments by fastcore's docments

def entries(code, module):
    "Sphinx's directives for what an exported cell defines."
    made, lines = [], code.splitlines()
    for node in ast.parse(code).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            if any("patch" in ast.unparse(d) for d in node.decorator_list): continue  # shown with its class
            kind, more = ("class", "\n   :members:") if isinstance(node, ast.ClassDef) else ("function", "")
            made.append((node.name, f".. auto{kind}:: kdnb.{module}.{node.name}{more}"))
        elif isinstance(node, ast.Assign):
            value, comment = " ".join(ast.unparse(node.value).split())[:88], lines[node.end_lineno - 1].partition("  # ")[2]
            names = [n.id for t in node.targets for n in getattr(t, "elts", [t]) if isinstance(n, ast.Name)]
            made += [(n, f".. py:data:: {n}\n   :value: {value}\n\n   {prose(comment)}") for n in names]
    return "\n\n".join(text for name, text in made if name[0] != "_")


class Rst(SphinxDirective):
    "As MyST's eval-rst, which is slow on notebooks: it pads the text with a line for each line above, 10,000 a cell."
    has_content = True

    def run(self):
        doc = make_document(self.env.docname, parser_cls=RSTParser)
        doc.settings, doc.reporter = self.state.document.settings, self.state.document.reporter
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
        page, here = self.env.docname, self.env.ref_context.get("py:module", "")
        short = {full: (m, full.removeprefix(f"{m}.")) for m, symbols in d["syms"].items() for full in symbols}
        times = Counter(name for _, name in short.values())
        known = {full.removeprefix("kdnb."): full for full in short}
        known |= {name: full for full, (m, name) in short.items() if times[name] == 1 or m == here}
        pages = {Path(p).name: p for p in self.env.found_docs if p != page and re.match(r"(.*/)?\d\d[_-]", p)}
        for node in list(self.document.findall(nodes.literal)):
            text = re.sub(r"\(.*\)$|\.ipynb$", "", node.astext())
            if isinstance(node.parent, (nodes.reference, pending_xref, nodes.title)): continue
            if text in known: about = dict(refdomain="py", reftype="obj", reftarget=known[text])
            elif text in pages: about = dict(refdomain="std", reftype="doc", refexplicit=True, reftarget=f"/{pages[text]}")
            else: continue
            link = pending_xref("", refdoc=page, refwarn=False, **about)
            node.replace_self(link); link += node


# Pages

def markdown(text): return dict(cell_type="markdown", metadata={}, source=text)


def read_page(app, docname, source):
    "Sphinx has read a page: make it what a reader wants to see."
    if docname == "gallery": source[0] += gallery()
    if not str(app.env.doc2path(docname)).endswith(".ipynb"): return
    book, study, made, shown = json.loads(source[0]), docname.removeprefix("experiments/"), [], set()
    module = next((m[1] for c in book["cells"] if (m := re.match(r"#\|\s*default_exp\s+(\S+)", "".join(c["source"])))), "")
    results = sorted(ROOT.glob(f"figures/*/*/{study}"), key=embedded_first) if docname == f"experiments/{study}" else []
    for c in book["cells"]:
        text = "".join(c["source"])
        if c["cell_type"] == "markdown":
            made.append(markdown(relinked(text)))
            if module and len(made) == 1: made.append(markdown(f"```{{py:module}} kdnb.{module}\n```"))
        elif c["cell_type"] == "code" and not (results and "committed(" in text): made += read_code(text, c["outputs"], module, results)
        named = [n for n in re.findall(r"\"([\w-]+)\"", text) if n not in shown] if results and "report." in text else []
        made += map(markdown, study_parts(results, named))
        shown |= set(named)
    rest = sorted({p.stem for r in results for p in r.iterdir()} - shown)
    if rest: made += map(markdown, ("## Further tables and figures", *study_parts(results, rest)))
    if any('class="board"' in c["source"] for c in made): made.append(markdown(board_script()))
    if docname == "index": made.append(markdown(sidebar(app.env.found_docs)))
    source[0] = json.dumps(book | dict(cells=[c | dict(id=f"c{i}") for i, c in enumerate(made)]))


def read_code(text, outputs, module, fold):
    "The cells of the page for one code cell of the notebook."
    asks = dict(re.findall(r"^#\|\s*([\w-]+):?\s*(.*)$", text, re.M))
    code = re.sub(r"^#\|.*\n?", "", text, flags=re.M).strip()
    if "hide" in asks or "default_exp" in asks or not code: return []
    for o in outputs:
        if said := o.get("data", {}).get("text/markdown"): o["data"]["text/markdown"] = relinked(flat("".join(said)))
    exported = any(key.startswith("export") for key in asks)
    entry = entries(code, module) if exported and module else ""
    test = module and not outputs and re.search(r"^\s*(assert |test_\w+\()", code, re.M)
    prompt = "code" if entry or fold else "more code" if exported else "test" if test else ""
    tags = ["remove-input"] if asks.get("echo") == "false" else ["hide-input"] if prompt else []
    meta = dict(tags=tags, mystnb=dict(code_prompt_show=prompt, code_prompt_hide=prompt) if prompt else {})
    shown = dict(cell_type="code", metadata=meta, source=code, outputs=outputs, execution_count=None)
    return [markdown(f"````{{rst}}\n{entry}\n````")] * bool(entry) + [shown]


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
    "A committed table or page of text, and a link to its rows."
    if not file.exists(): return ""
    grid = lambda m: (board(m[0]) if m[0].count("\n") > LONG else m[0]) + "\n"
    csv = file.with_suffix(".csv")
    rows = f"\n\n{{download}}`{csv.name} <../../{csv.relative_to(ROOT)}>`\n" if csv.exists() else ""
    return re.sub(r"(?:^\|.*\n?)+", grid, flat(file.read_text(encoding="utf-8")), flags=re.M) + rows


def board(text):
    "A Markdown table by itables: it can be sorted and filtered."
    import itables, pandas as pd
    rows = [[html.escape(v.strip()) for v in line.strip().strip("|").split(" |")] for line in text.strip().splitlines()]
    frame = pd.DataFrame(rows[2:], columns=rows[0])
    for name in frame:  # numbers sort as numbers, the rest as text
        number = pd.to_numeric(frame[name].str.replace(",", ""), errors="coerce")
        if number.notna().all(): frame[name] = number
    looks = dict(showIndex=False, paging=False, scrollY="36rem", scrollX=True, scrollCollapse=True, classes="display compact")
    made = itables.to_html_datatable(frame, connected=False, maxBytes=0, allow_html=True, **looks)
    return f"\n```{{raw}} html\n<div class=\"board\">{made}</div>\n```\n"


def board_script():
    "The script of itables, written into the page: nothing is fetched."
    import itables
    return f"```{{raw}} html\n{itables.javascript.generate_init_offline_itables_html(itables.options.dt_bundle)}\n```"


def gallery():
    "Every committed figure, a card each."
    def card(p):
        link = f":img-top: ../{p.relative_to(ROOT)}\n:link: experiments/{p.parent.name}\n:link-type: doc"
        return f":::{{grid-item-card}}\n{link}\n\n{caption(p)} ({p.parts[-3]})\n:::"
    figures = {s: sorted(ROOT.glob(f"figures/*/*/{s}/*.svg"), key=embedded_first) for s in STUDIES}
    return "".join(f"\n\n## {s}\n\n::::{{grid}} 1 2 2 2\n:gutter: 3\n\n" + "\n".join(map(card, files)) + "\n::::" for s, files in figures.items() if files)


def sidebar(docs):
    "The tables of contents: every page is in one of them."
    there = lambda pattern: [d for d in sorted(docs) if re.fullmatch(pattern, d)]
    reports = [e for s in STUDIES if (e := f"experiments/{s}") in docs]
    named = lambda pages: [f"{Path(p).name} <{p}>" for p in pages]
    groups = {"Start": ["self", "methods"], "Tutorials": there("tutorials/.*"), "Studies": named(reports) + ["gallery"],
              "The science": there(r"\d\d_.*") + ["benchmarks"], "The lab": there("lab/.*"), "How the studies are made": there("studies/.*"),
              "Experiments": named(e for e in there("experiments/.*") if e not in reports),
              "Reference": ["refuses", "seed-commands", "contributing", "Index of names <genindex>"]}
    return "\n".join(f"```{{toctree}}\n:hidden:\n:caption: {group}\n\n" + "\n".join(pages) + "\n```" for group, pages in groups.items())


def setup(app):
    app.connect("source-read", read_page)
    app.connect("autodoc-process-docstring", add_comments)
    app.add_directive("rst", Rst)
    app.add_transform(LinkNames)
    return dict(version="5", env_version=5, parallel_read_safe=True, parallel_write_safe=True)
