"""`python -m gancourse.assignment grade DIR`: mark a class."""

import sys

if __name__ == "__main__":
    try:
        from gancourse.assignment.grading.command import main
    except ImportError as error:
        sys.exit(str(error))
    sys.exit(main())
