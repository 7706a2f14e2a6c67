"""`python -m services.worker.quarantine`, started by a worker."""

from services.worker.quarantine.sandbox_main import main

if __name__ == "__main__":
    main()
