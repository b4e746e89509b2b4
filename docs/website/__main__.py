"""`python docs/website`: build the site."""

import sys
from pathlib import Path

# The folder of this package and that of the project, wherever the command is given.
sys.path[0] = str(Path(__file__).parents[1])
sys.path.insert(1, str(Path(__file__).parents[2]))

from website.build import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
