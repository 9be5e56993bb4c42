"""``python -m cardigan``."""

from cardigan.cli import main

if __name__ == "__main__":
    main()
