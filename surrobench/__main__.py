"""``python -m surrobench``."""

from surrobench.cli import main

if __name__ == "__main__":
    main()
