#!/usr/bin/env python
"""JupyterLab runs a notebook of each kind: open it in headless Chromium, Run All Cells, save, and judge the file that was saved.

Works on a copy of nbs/, with settings and runs of its own, so nothing outside a temporary folder changes.
Where playwright or Chromium is missing it says so and ends well. Other notebooks: .ci/lab.py nbs/11_certification.ipynb ...
"""
import os, re, secrets, shutil, socket, subprocess, sys, tempfile, time, urllib.request
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parent.parent
KINDS = ("nbs/06_smoothing.ipynb", "nbs/experiments/train.ipynb", "nbs/tutorials/02-play.ipynb")  # library, experiment, tutorial
MINUTES = 15  # for one notebook


def chromium():
    "The browser's program, or None."
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def start_lab(work, port, token):
    "JupyterLab on a copy of the notebooks, with settings of its own."
    settings = {"@jupyterlab/apputils-extension/notification": '{"fetchNews": "false", "checkForUpdates": false}',
                "@jupyterlab/notebook-extension/tracker": '{"windowingMode": "none"}'}
    for name, text in settings.items():
        file = work/"settings"/f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True); file.write_text(text)
    own = dict(JUPYTER_CONFIG_DIR="config", JUPYTER_DATA_DIR="data", JUPYTER_RUNTIME_DIR="runtime", JUPYTERLAB_SETTINGS_DIR="settings", JUPYTERLAB_WORKSPACES_DIR="workspaces", IPYTHONDIR="ipython", KDNB_RUNS="runs")
    env = {**os.environ, **{name: str(work/folder) for name, folder in own.items()}}
    for name in ("MPLBACKEND", "IN_TEST"): env.pop(name, None)  # as for a user
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}", "--ServerApp.port_retries=0", f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={work/'clone'}"]
    return subprocess.Popen(command, env=env, stdout=(work/"lab.log").open("w"), stderr=subprocess.STDOUT)


def wait_for(ready, what, seconds):
    "Until `ready()` is true."
    end = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > end: raise TimeoutError(f"{what}: not after {seconds:.0f} s")
        time.sleep(.5)


def answers(url):
    try: return urllib.request.urlopen(url, timeout=5).status == 200
    except OSError: return False


def judge(file):
    "What is wrong with an executed notebook; '' if nothing is."
    cells = [c for c in nbformat.read(file, 4).cells if c.cell_type == "code" and c.source.strip()]
    errors = [f"{o.ename}: {o.evalue}" for c in cells for o in c.outputs if o.output_type == "error"]
    counts = [c.execution_count for c in cells]
    if errors: return errors[0]
    return "" if counts == list(range(1, len(cells) + 1)) else f"the cells were executed as {counts}"


def run_all(page, url, file, work):
    "Open, Run All Cells, save. What a user does, and what they wait for."
    page.goto(url, wait_until="domcontentloaded", timeout=120_000)
    page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=120_000)
    bar = page.locator("#jp-main-statusbar")
    bar.get_by_text(re.compile(r"\| Idle")).wait_for(timeout=180_000)
    page.locator(".lm-MenuBar-itemLabel", has_text=re.compile("^Run$")).click()
    page.locator(".lm-Menu-itemLabel", has_text=re.compile("^Run All Cells$")).click()
    prompts = "[...document.querySelectorAll('.jp-Notebook .jp-CodeCell .jp-InputPrompt')].map(p => p.textContent)"
    page.wait_for_function(f"{prompts}.some(t => /\\[(\\*|\\d+)\\]/.test(t))", timeout=60_000)
    page.wait_for_function(f"!{prompts}.some(t => t.includes('[*]'))", timeout=MINUTES * 60_000)
    bar.get_by_text(re.compile(r"\| Idle")).wait_for(timeout=60_000)


def save(page, file):
    "Save, and wait for the file."
    before = file.stat().st_mtime_ns
    page.keyboard.press("Control+s")
    wait_for(lambda: file.stat().st_mtime_ns > before, f"{file.name} was saved", 30)


def move_slider(page):
    "Press a slider's arrow key: the picture beside it must change. '' if it does."
    play = page.locator(".jp-OutputArea-output:has(.widget-hslider)").first
    if not play.count(): return "there are no sliders"
    picture = play.locator("img").first; picture.wait_for(timeout=30_000)
    before = picture.get_attribute("src")
    handle = play.locator(".noUi-handle").first; handle.scroll_into_view_if_needed(); handle.focus(); page.keyboard.press("ArrowRight")
    try: wait_for(lambda: play.locator("img").count() and play.locator("img").first.get_attribute("src") != before, "the picture changed", 60)
    except TimeoutError as e: return f"a slider was moved, and {e}"
    return ""


def main(names):
    try: from playwright.sync_api import sync_playwright
    except ImportError: print("skipped: the package playwright is not installed (pip install -e '.[dev]')"); return 0
    if not chromium(): print("skipped: there is no Chromium (Debian: apt-get install chromium)"); return 0
    failed = 0
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright, socket.socket() as free:
        work, token = Path(folder), secrets.token_hex()
        shutil.copytree(ROOT/"nbs", work/"clone"/"nbs", ignore=shutil.ignore_patterns(".ipynb_checkpoints"))
        free.bind(("127.0.0.1", 0)); port = free.getsockname()[1]; free.close()
        lab, base = start_lab(work, port, token), f"http://127.0.0.1:{port}"
        try:
            wait_for(lambda: lab.poll() is not None or answers(f"{base}/api?token={token}"), "JupyterLab answers", 120)
            if lab.poll() is not None: raise TimeoutError("JupyterLab ended at once")
            browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox", "--disable-background-networking", "--disable-component-update"])
            for name in names:
                begun, file = time.monotonic(), work/"clone"/name
                page = browser.new_page(viewport=dict(width=1400, height=1000))
                try:
                    run_all(page, f"{base}/lab/workspaces/{file.stem}/tree/{name}?token={token}", file, work); save(page, file)
                    wrong = judge(file) or (move_slider(page) if name.endswith("02-play.ipynb") else "")
                except Exception as e: wrong = f"{type(e).__name__}: {str(e).splitlines()[0]}"
                if pictures := os.environ.get("KDNB_LAB_PICTURES"): page.screenshot(path=f"{pictures}/{file.stem}.png")
                page.close(); failed += bool(wrong)
                print(f"{name}: {wrong or 'all cells ran in JupyterLab and were saved'} ({time.monotonic() - begun:.0f} s)", flush=True)
            browser.close()
        except Exception as e: failed += 1; print(f"{type(e).__name__}: {str(e).splitlines()[0]}\n{(work/'lab.log').read_text()[-2000:]}")
        finally:
            lab.terminate()
            try: lab.wait(20)
            except subprocess.TimeoutExpired: lab.kill()
    return int(failed > 0)


if __name__ == "__main__": sys.exit(main(sys.argv[1:] or KINDS))
