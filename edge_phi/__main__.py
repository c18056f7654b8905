"""`python -m edge_phi` is `edge-phi`."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
