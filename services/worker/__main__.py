"""`python -m services.worker`"""

from services.worker.app import app
from services.worker.settings import WorkerSettings
from shared.runtime.process import run

if __name__ == "__main__":
    run("worker", WorkerSettings, app)
