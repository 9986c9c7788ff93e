"""`python -m services` is `ferrotype`."""

from services.cli import main

if __name__ == "__main__":
    main()
