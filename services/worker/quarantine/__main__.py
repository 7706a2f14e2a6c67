"""`python -m services.worker.quarantine`, started by a worker."""

from services.worker.quarantine.inside import main

if __name__ == "__main__":
    main()
