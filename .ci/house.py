#!/usr/bin/env python
"""The rules of the house, each a check that lists what breaks it.

    python .ci/house.py                       # all checks of the sources
    python .ci/house.py arrows widths         # some
    python .ci/house.py site _docs            # the site that was built there
"""
import ast, json, re, sys, zlib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MODULES = {".".join(p.relative_to(ROOT).with_suffix("").parts): p for p in sorted((ROOT/"kdnb").rglob("*.py")) if p.stem not in ("__init__", "_modidx")}
NOTEBOOKS = [p for p in sorted((ROOT/"nbs").rglob("*.ipynb")) if not any(d.startswith(".") for d in p.relative_to(ROOT).parts)]
MACHINERY, ALL = 180_000, 660_000 # characters
text_of = lambda path: path.read_text(encoding="utf-8")


def imports(path):
    "The modules of kdnb that a module imports anywhere."
    here = path.relative_to(ROOT).with_suffix("").parts
    for node in ast.walk(ast.parse(text_of(path))):
        if isinstance(node, ast.Import): yield from (a.name for a in node.names)
        if isinstance(node, ast.ImportFrom):
            start = ".".join(here[:len(here) - node.level]) if node.level else ""
            base = ".".join(filter(None, (start, node.module)))
            yield from ([base] if base in MODULES else [f"{base}.{a.name}" for a in node.names])


def floor(name): return 2 if name.startswith("kdnb.studies.") else 1 if name.startswith("kdnb.lab.") else 0


def arrows():
    "Imports go down (studies, lab, science), never in a circle."
    graph = {name: sorted({i for i in imports(path) if i in MODULES}) for name, path in MODULES.items()}
    yield from (f"{name} imports {other}, which stands above it" for name, others in graph.items() for other in others if floor(other) > floor(name))
    done = set()
    def visit(name, way):
        if name in way: yield " -> ".join([*way[way.index(name):], name])
        elif name not in done:
            for other in graph[name]: yield from visit(other, [*way, name])
            done.add(name)
    for name in graph: yield from visit(name, [])


def widths():
    "At most 2 % of the lines of kdnb have more than 120 characters."
    lines = [(name, i, line) for name, path in MODULES.items() for i, line in enumerate(text_of(path).splitlines(), 1)]
    wide = [f"{name}:{i} has {len(line)} characters" for name, i, line in lines if len(line) > 120]
    if len(wide) > .02 * len(lines): yield f"{len(wide)} of {len(lines)} lines have more than 120 characters ({len(wide) / len(lines):.1%}): {'; '.join(wide[:10])}"


def sizes():
    "The lab, the studies and the site stay smaller than half of the science, and all of kdnb small."
    size = {name: len(text_of(path)) for name, path in MODULES.items()}
    site = sum(len(text_of(p)) for p in [ROOT/"nbs"/"conf.py", *(ROOT/"nbs"/"_ext").glob("*.py")])
    machinery = sum(n for name, n in size.items() if floor(name)) + site
    print(f"   machinery {machinery:,}, science {sum(size.values()) + site - machinery:,}, all of kdnb {sum(size.values()):,} characters")
    for what, n, most in (("the machinery", machinery, MACHINERY), ("kdnb", sum(size.values()), ALL)):
        if n > most: yield f"{what} has {n:,} characters, more than {most:,}: cut something"


def public_names(path):
    "What a module exports."
    for node in ast.parse(text_of(path)).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__": return ast.literal_eval(node.value)
    return []


def users():
    "A public name is used by another module or another notebook; else it begins with an underscore."
    def of_notebook(path):
        cells = ["".join(c["source"]) for c in json.loads(text_of(path))["cells"]]
        return next((f"kdnb.{m[1]}" for c in cells if (m := re.search(r"^#\|\s*default_exp\s+(\S+)", c))), ""), "\n".join(cells)
    places = [(name, text_of(path)) for name, path in MODULES.items()] + [of_notebook(p) for p in NOTEBOOKS]
    places += [("", text_of(p)) for folder in ("nbs/experiments", ".ci") for p in (ROOT/folder).rglob("*") if p.is_file() and p.suffix != ".ipynb"]
    places += [("", text_of(ROOT/"settings.ini"))]
    words = [(name, set(re.findall(r"\w+", text))) for name, text in places]
    for module, path in MODULES.items():
        lonely = [n for n in public_names(path) if not any(n in found for name, found in words if name != module)]
        if lonely: yield f"{module}: {', '.join(lonely)}"


def outputs():
    "Experiment notebooks keep no outputs; others small ones."
    sys.path.insert(0, str(ROOT/".ci"))
    from outputs import LARGEST, NOTEBOOK
    for path in NOTEBOOKS:
        sizes = [len(json.dumps(o)) for c in json.loads(text_of(path))["cells"] for o in c.get("outputs", [])]
        name = path.relative_to(ROOT)
        if sizes and "experiments" in path.parts: yield f"{name} keeps outputs: jupyter nbconvert --clear-output --inplace {name}"
        elif sizes and max(sizes) > 1.1 * LARGEST: yield f"{name} keeps an output of {max(sizes):,} characters: python .ci/outputs.py {name}"
        elif sum(sizes) > NOTEBOOK: yield f"{name} keeps {sum(sizes):,} characters of outputs: show less"


def words():
    "README has at most 600 words, a figure's caption 60."
    import yaml
    n = len(re.findall(r"\w+", re.sub(r"\]\([^)]*\)|^\|.*$", "", text_of(ROOT/"README.md"), flags=re.M)))
    if n > 600: yield f"README.md has {n} words"
    for study, captions in yaml.safe_load(text_of(ROOT/"figures"/"captions.yml")).items():
        yield from (f"the caption of {study}/{name} has {len(c.split())} words" for name, c in captions.items() if len(c.split()) > 60)
    there = {(p.parent.name, p.stem) for p in (ROOT/"figures").glob("*/*/*/*.svg")}
    known = {(s, n) for s, captions in yaml.safe_load(text_of(ROOT/"figures"/"captions.yml")).items() for n in captions}
    yield from (f"figures/captions.yml has no caption for {s}/{n}" for s, n in sorted(there - known))


def site(folder):
    "The site has an entry for every public name, and loads nothing from elsewhere."
    lines = (Path(folder)/"objects.inv").read_bytes().split(b"\n", 4)[4]
    known = {line.split(" ")[0] for line in zlib.decompress(lines).decode().splitlines() if " py:" in line}
    for module, path in MODULES.items():
        lost = [n for n in public_names(path) if f"{module}.{n}" not in known]
        if lost: yield f"no entry for {module}: {', '.join(lost)}"
    for page in Path(folder).rglob("*.html"):
        yield from (f"{page.relative_to(folder)} loads {url}" for url in re.findall(r"<(?:script|img|link|iframe)[^>]*(?:src|href)=\"(https?://[^\"]+)", text_of(page)) if "rel=\"canonical" not in url)


CHECKS = dict(arrows=arrows, widths=widths, sizes=sizes, users=users, outputs=outputs, words=words)

if __name__ == "__main__":
    chosen = {"site": lambda: site(sys.argv[2])} if sys.argv[1:2] == ["site"] else {n: CHECKS[n] for n in sys.argv[1:] or CHECKS}
    failed = 0
    for name, check in chosen.items():
        wrong = list(dict.fromkeys(check())); failed += bool(wrong)
        print(f"{name}: {'ok' if not wrong else 'FAILED'}", *(f"\n   {line}" for line in wrong))
    print(f"{len(chosen) - failed} passed, {failed} failed")
    sys.exit(failed > 0)
