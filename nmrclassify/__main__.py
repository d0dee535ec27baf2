"""Entry point of `python -m nmrclassify`."""

from .cli import main

raise SystemExit(main())
