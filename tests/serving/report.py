"""How a test of this folder counts, and what it needs."""

import importlib.util
import sys


def need(*modules):
    """Skips the test where a package from PyPI is missing."""
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        print(f"skipped: no {', '.join(missing)}; tools/setup --tests installs what is missing")
        sys.exit(77)


class Report:
    """Counts checks; ends with the line that CI reads."""

    def __init__(self):
        self.passed = self.failed = 0

    def check(self, name, condition, detail=""):
        if condition:
            self.passed += 1
        else:
            self.failed += 1
            print(f"FAILED {name}: {detail}", flush=True)

    def close(self):
        print(f"{self.passed} passed, {self.failed} failed")
        sys.exit(1 if self.failed else 0)
