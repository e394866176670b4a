"""What kdnb adds to Sphinx: notebooks are cleaned up for a reader, each public name gets an entry where it is defined,
a study's page shows its committed tables and figures, and names in code type become links."""
import ast, html, json, re
from collections import Counter
from pathlib import Path

import yaml
from docutils import nodes
from sphinx import addnodes
from sphinx.transforms import SphinxTransform

ROOT = Path(__file__).resolve().parents[2]
STUDIES = ["smoothed-kd", "cckd", "robust-kd", "averaging", "leaderboard"]  # in the sidebar's order; later ones follow
STUDIES += sorted({p.name for p in ROOT.glob("figures/*/*/*") if p.is_dir()} - set(STUDIES))
LONG = 15  # a table with more rows can be sorted and filtered


def cell(kind, source, tags=(), prompt="", outputs=()):
    meta = dict(tags=list(tags)) | (dict(mystnb=dict(code_prompt_show=prompt, code_prompt_hide=prompt)) if prompt else {})
    code = dict(outputs=list(outputs), execution_count=None) if kind == "code" else {}
    return dict(cell_type=kind, metadata=meta, source=source) | code


# An entry for each public name: its signature and docstring by autodoc, its parameters' comments by fastcore's docments

def entries(code, module):
    "Autodoc's directives for what an exported cell defines."
    made, lines = [], code.splitlines()
    for node in ast.parse(code).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            kind = "class" if isinstance(node, ast.ClassDef) else "function"
            if any("patch" in ast.unparse(d) for d in node.decorator_list): continue  # shown with its class
            made += [(node.name, f".. auto{kind}:: kdnb.{module}.{node.name}" + "\n   :members:" * (kind == "class"))]
        elif isinstance(node, ast.Assign):
            value, comment = " ".join(ast.unparse(node.value).split()), lines[node.end_lineno - 1].partition("  # ")[2]
            value = value if len(value) < 90 else value[:88] + " …"
            made += [(n.id, f".. py:data:: kdnb.{module}.{n.id}\n   :value: {value}\n\n   {prose(comment)}")
                     for target in node.targets for n in ast.walk(target) if isinstance(n, ast.Name)]
    return "\n\n".join(text for name, text in made if not name.startswith("_"))


def prose(text):
    "A comment or docstring as reStructuredText: code and formulas stay, the rest means itself."
    parts = re.split(r"(`[^`]+`|\$[^$]+\$)", text)
    kept = lambda p: f"``{p.strip('`')}``" if p[0] == "`" else f":math:`{p.strip('$')}`"
    return "".join((f"\\ {kept(p)}\\ " if i % 2 else re.sub(r"([\\*_|`])", r"\\\1", p)) for i, p in enumerate(parts))


def add_comments(app, what, name, obj, options, lines):
    "Autodoc asks for a docstring: add the comments beside the parameters."
    from fastcore.docments import docments
    lines[:] = [prose(line) for line in lines]
    if what not in ("class", "function", "method"): return
    try: comments = docments(obj, returns=True)
    except (TypeError, OSError, SyntaxError): return
    found = {n: prose(" ".join(c.split())) for n, c in comments.items() if isinstance(c, str) and n not in ("self", "cls")}
    lines += ["", *(f":param {n}: {c}" if n != "return" else f":returns: {c}" for n, c in found.items()), ""]


class LinkNames(SphinxTransform):
    "A public name or a notebook's name in code type becomes a link."
    default_priority = 500

    def apply(self, **kwargs):
        from kdnb._modidx import d
        full = [name for symbols in d["syms"].values() for name in symbols]
        short = lambda name: re.sub(r"^kdnb\.(\w*[a-z]\w*\.)*?(?=\w+$|[A-Z]\w*\.\w+$)", "", name)
        page, here = self.env.docname, f"{self.env.ref_context.get('py:module')}."
        twice = [name for name, n in Counter(map(short, full)).items() if n > 1]
        known = {short(n): n for n in full if short(n) not in twice or n.startswith(here)} | {n.removeprefix("kdnb."): n for n in full}
        pages = {Path(p).name: p for p in self.env.found_docs if re.match(r"(.*/)?\d\d[_-]", p)}
        for node in list(self.document.findall(nodes.literal)):
            above, text = node.parent, re.sub(r"\(.*\)$|\.ipynb$", "", node.astext())
            if isinstance(above, (nodes.reference, addnodes.pending_xref, nodes.title)) or "xref" in node["classes"]: continue
            if known.get(text): about = dict(refdomain="py", reftype="obj", reftarget=known[text])
            elif text in pages and pages[text] != page: about = dict(refdomain="std", reftype="doc", refexplicit=True, reftarget="/" + pages[text])
            else: continue
            link = addnodes.pending_xref("", refdoc=page, refwarn=False, **about)
            node.replace_self(link); link += node


# Pages

def read_page(app, docname, source):
    "Sphinx has read a page: make it what a reader wants to see."
    if docname == "gallery": source[0] += gallery()
    if not str(app.env.doc2path(docname)).endswith(".ipynb"): return
    book, study = json.loads(source[0]), Path(docname).name if docname.startswith("experiments/") else ""
    module = next((m[1] for c in book["cells"] if (m := re.match(r"#\|\s*default_exp\s+(\S+)", "".join(c["source"])))), "")
    results = sorted(ROOT.glob(f"figures/*/*/{study}"), key=lambda p: ("mini" not in p.parts[-2], p)) if study in STUDIES else []
    made, shown = [], set()
    for c in book["cells"]:
        text = "".join(c["source"])
        if c["cell_type"] == "markdown":
            made.append(cell("markdown", re.sub(r"\]\((?:\.\./)+figures/\w+/\w+/([\w-]+)(/[\w-]+\.md)?/?\)", r"](/experiments/\1.ipynb)", text)))
            if module and len(made) == 1: made.append(cell("markdown", f"```{{py:module}} kdnb.{module}\n```"))
        if c["cell_type"] == "code" and not (results and "committed(" in text): made += read_code(text, c.get("outputs", []), module, bool(results))
        named = re.findall(r"\"([\w-]+)\"", text) if results and "report." in text else []
        made += [cell("markdown", part) for part in study_parts(results, [n for n in named if n not in shown])]
        shown |= set(named)
    rest = sorted({p.stem for r in results for p in r.iterdir()} - shown)
    if rest: made += [cell("markdown", t) for t in ["## Further tables and figures", *study_parts(results, rest)]]
    if docname == "index": made.append(cell("markdown", sidebar(app.env.found_docs)))
    source[0] = json.dumps(book | dict(cells=[c | dict(id=f"c{i}") for i, c in enumerate(made)]))


def read_code(text, outputs, module, fold):
    "The cells of the page for one code cell of the notebook."
    asks = {m[1]: m[2] for m in re.finditer(r"^#\|\s*([\w-]+):?\s*(.*)$", text, re.M)}
    code = re.sub(r"^#\|.*\n?", "", text, flags=re.M).strip()
    if "hide" in asks or "default_exp" in asks or not code: return []
    outputs = [o for o in outputs if o.get("name") != "stderr" and "application/vnd.jupyter.widget-view+json" not in o.get("data", {})]
    for o in outputs:  # headings in an output are not the page's
        if said := o.get("data", {}).get("text/markdown"): o["data"]["text/markdown"] = re.sub(r"^#+ +(.+)$", r"**\1**", "".join(said), flags=re.M)
    exported = any(key.startswith("export") for key in asks)
    entry = entries(code, module) if exported and module else ""
    test = module and not outputs and re.search(r"^\s*(assert |test_\w+\()", code, re.M)
    prompt = "code" if entry or fold else "more code" if exported else "test" if test else ""
    tags = ["remove-input"] if asks.get("echo") == "false" else ["hide-input"] if prompt else []
    return [cell("markdown", f"````{{eval-rst}}\n{entry}\n````")] * bool(entry) + [cell("code", code, tags, prompt, outputs)]


# A study's committed tables and figures, one tab for each data set

def study_parts(results, names):
    "Markdown for each of these tables and figures that is committed."
    for name in dict.fromkeys(names):
        tabs = {r.parts[-2]: text for r in results if (text := table(r/f"{name}.md") + figure(r, name))}
        if len(tabs) > 1: yield "`````{tab-set}\n" + "\n".join(f"````{{tab-item}} {d}\n:sync: {d}\n\n{t}\n````" for d, t in tabs.items()) + "\n`````"
        else: yield from tabs.values()


def caption_of(study, name):
    return yaml.safe_load((ROOT/"figures"/"captions.yml").read_text(encoding="utf-8")).get(study, {}).get(name, name)


def figure(folder, name):
    file = next((folder/f"{name}{e}" for e in (".svg", ".png") if (folder/f"{name}{e}").exists()), None)
    return f"\n```{{figure}} ../../{file.relative_to(ROOT)}\n:alt: {name}\n\n{caption_of(folder.name, name)}\n```\n" if file else ""


def table(file):
    "A committed table, its caption below; a long one can be sorted and filtered."
    if not file.exists(): return ""
    text = re.sub(r"^#+ +(.+)$", r"**\1**", file.read_text(encoding="utf-8"), flags=re.M)
    text = re.sub(r"(?:^\|.*\n?)+", lambda m: board(m[0]) if m[0].count("\n") > LONG else m[0] + "\n", text, flags=re.M)
    csv = file.with_suffix(".csv")
    return text + (f"\n\n{{download}}`{csv.name} <../../{csv.relative_to(ROOT)}>`\n" if csv.exists() else "")


def board(text):
    "A long Markdown table as one of itables, which brings its own script along."
    import itables, pandas as pd
    rows = [[html.escape(v.strip()) for v in line.strip().strip("|").split(" |")] for line in text.strip().splitlines()]
    frame = pd.DataFrame(rows[2:], columns=rows[0])
    for name in frame:  # numbers sort as numbers, others by their text
        number = pd.to_numeric(frame[name].str.replace(",", ""), errors="coerce")
        if number.notna().all(): frame[name] = number
    made = itables.to_html_datatable(frame, connected=False, showIndex=False, paging=False, allow_html=True, classes="display compact")
    return f"\n```{{raw}} html\n<div class=\"board\">{made}</div>\n```\n\n"


def gallery():
    "Every committed figure, a card each."
    made = []
    for study in STUDIES:
        cards = [f":::{{grid-item-card}}\n:img-top: ../{p.with_suffix('.svg').relative_to(ROOT)}\n:link: experiments/{study}\n:link-type: doc\n\n{caption_of(study, p.stem)} ({p.parts[-2]})\n:::"
                 for p in sorted(ROOT.glob(f"figures/*/*/{study}/*.png"), key=lambda p: ("mini" not in p.parts[-2], p))]
        if cards: made += [f"## {study}", "::::{grid} 1 2 2 2\n:gutter: 3\n\n" + "\n".join(cards) + "\n::::"]
    return "\n\n" + "\n\n".join(made)


def sidebar(docs):
    "The tables of contents: every page is in one of them."
    there = lambda pattern: [d for d in sorted(docs) if re.fullmatch(pattern, d)]
    reports = [f"experiments/{s}" for s in STUDIES if f"experiments/{s}" in docs]
    groups = {"Start": ["self", "methods"], "Tutorials": there("tutorials/.*"),
              "Studies": [f"{Path(r).name} <{r}>" for r in reports] + ["gallery"],
              "The science": there(r"\d\d_.*") + ["benchmarks"], "The lab": there(r"lab/.*"), "How the studies are made": there(r"studies/.*"),
              "Experiments": [f"{Path(e).name} <{e}>" for e in there("experiments/.*") if e not in reports],
              "Reference": ["seed-commands", "contributing", "Index of names <genindex>"]}
    return "\n".join("```{toctree}\n:hidden:\n:caption: " + group + "\n\n" + "\n".join(pages) + "\n```" for group, pages in groups.items())


def setup(app):
    app.connect("source-read", read_page)
    app.connect("autodoc-process-docstring", add_comments)
    app.add_transform(LinkNames)
    return dict(version="2", parallel_read_safe=True)
