#!/usr/bin/env python
"""Execute notebooks in place and keep their outputs, small. nbs/index.ipynb is written as README.md too.

    python .ci/outputs.py nbs/07_attacks.ipynb    # one or more
    python .ci/outputs.py                         # all that keep outputs: minutes to an hour
"""
import base64, io, os, re, sys, tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parent.parent
LARGEST, NOTEBOOK = 40_000, 300_000  # characters of one output, and of all outputs of a notebook
PATHS = {re.escape(sys.prefix): "~/kdnb/.venv", re.escape(str(ROOT)): "~/kdnb", rf"{tempfile.gettempdir()}/tmp\w+": "/tmp/work"}  # an output names no folder of this machine


def keeping():
    "The notebooks that keep their outputs: all but experiments."
    return [p for p in sorted((ROOT/"nbs").rglob("*.ipynb")) if "experiments" not in p.parts and not any(d.startswith(".") for d in p.relative_to(ROOT).parts)]


def smaller(png, most):
    "A base64 PNG of at most so many characters: fewer colours, then fewer pixels."
    from PIL import Image
    if len(png) <= most: return png
    picture = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB")
    for scale in (1, .8, .65, .5, .4, .3):
        small, data = picture.resize([round(scale * side) for side in picture.size], Image.LANCZOS), io.BytesIO()
        small.quantize(64, dither=Image.Dither.NONE).save(data, "PNG", optimize=True)
        png = base64.b64encode(data.getvalue()).decode()
        if len(png) <= most: break
    return png


def tidy(output, most):
    "What is kept of an output, a picture in at most so many characters; None: nothing."
    data = output.get("data", {})
    if output.get("name") == "stderr" or "application/vnd.jupyter.widget-view+json" in data: return None
    if "image/png" in data: data["image/png"] = smaller(data["image/png"].strip(), most); data.pop("text/plain", None); data.pop("image/svg+xml", None)
    if "text/markdown" in data: data.pop("text/plain", None)
    if "execution_count" in output: output["execution_count"] = None
    if "metadata" in output: output["metadata"] = {}
    for holder, key in [(output, "text"), *((data, kind) for kind in data if kind.startswith("text/"))]:
        if key in holder:
            for path, word in PATHS.items(): holder[key] = re.sub(path, word, holder[key])
    return output


def execute(path):
    "Execute a notebook in its folder, as nbdev_test does, and write its outputs into it."
    book = nbformat.read(path, 4)
    copy = nbformat.from_dict(book)
    for cell in copy.cells:
        if re.search(r"^#\|\s*eval:\s*false", cell.source, re.M): cell.metadata["tags"] = ["skip-execution"]
    with tempfile.TemporaryDirectory() as runs:
        env = {"MPLBACKEND": "module://matplotlib_inline.backend_inline", "KDNB_RUNS": runs, "OMP_NUM_THREADS": "1"}
        if not any("IN_TEST" in cell.source for cell in copy.cells): env["IN_TEST"] = "1"
        NotebookClient(copy, timeout=None, resources=dict(metadata=dict(path=str(path.parent)))).execute(env=os.environ | env)
    pictures = sum("image/png" in o.get("data", {}) for cell in copy.cells for o in cell.get("outputs", []))
    most = min(LARGEST, int(.9 * NOTEBOOK) // max(1, pictures))
    for cell, done in zip(book.cells, copy.cells):
        if cell.cell_type == "code":
            cell.execution_count = None
            cell.outputs = [kept for o in done.outputs if (kept := tidy(o, most))] if not re.match(r"#\|\s*hide\b", cell.source) else []
    nbformat.write(book, path)
    print(f"{path.relative_to(ROOT)}: {sum(len(str(c.get('outputs', ''))) for c in book.cells):,} characters of outputs", flush=True)


def write_readme():
    "nbs/index.ipynb, as it is with its outputs, as README.md."
    from nbconvert import MarkdownExporter
    exporter = MarkdownExporter(exclude_input=True, exclude_input_prompt=True, exclude_output_prompt=True)
    text, _ = exporter.from_notebook_node(nbformat.read(ROOT/"nbs"/"index.ipynb", 4))
    text = re.sub(r"\n{3,}", "\n\n", text.replace("](../", "](")).strip() + "\n"
    (ROOT/"README.md").write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    for path in [Path(name).resolve() for name in sys.argv[1:]] or keeping():
        execute(path)
        if path.name == "index.ipynb": write_readme()
