"""`python -m provider_router` is `prouter`."""

from provider_router.cli import main

if __name__ == "__main__":
    main()
