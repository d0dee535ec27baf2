"""Entry point of `python -m nmrclassify`."""

from nmrclassify.cli import main

raise SystemExit(main())
