#!/usr/bin/env python3
"""Make the student edition of the assignment from the master, with nbgrader; run it after each change."""

import sys

from run_notebook import ROOT, STUDENT_EDITION

from gancourse.assignment.grading.course import MASTER, student_edition

EDITION = ROOT / STUDENT_EDITION


def main() -> int:
    """Write the edition; say whether it changed."""
    made = student_edition(EDITION.with_name(MASTER))
    same = EDITION.exists() and EDITION.read_text(encoding="utf-8") == made
    EDITION.write_text(made, encoding="utf-8")
    print(f"{EDITION.name}: {'as it was' if same else 'made anew'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
