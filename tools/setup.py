"""Prepare everything that one of the commands needs: `python3 tools/setup.py book|test|lab`.

This file alone must be readable by the Pythons that are too old, so that they can say so; the work is in
environment.py.
"""

import sys

OLDEST = (3, 11)


def complaint(version, executable):
    """Say in one line what is wrong with this Python, or return None."""
    if tuple(version[:2]) >= OLDEST:
        return None
    return "gancourse: Python %d.%d or newer is needed, this is %d.%d (%s): install one, then name it: %s" % (
        OLDEST + tuple(version[:2]) + (executable, "make book PYTHON=python3.11")
    )


if __name__ == "__main__":
    problem = complaint(sys.version_info, sys.executable)
    if problem:
        sys.exit(problem)
    import environment

    sys.exit(environment.main(sys.argv[1:]))
