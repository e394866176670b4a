__version__ = "0.1.0"


def __getattr__(name): # without importing torch before it is needed
    if name in ("evaluate", "Evaluation"):
        from . import report
        return getattr(report, name)
    raise AttributeError(f"module 'kdnb' has no attribute {name!r}")
