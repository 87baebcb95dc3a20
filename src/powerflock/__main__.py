"""`python -m powerflock` is `powerflock`."""

from powerflock.cli import main

if __name__ == "__main__":
    main()
