"""Entry point: `python -m services.dispatcher`."""

from services.dispatcher.app import app
from services.dispatcher.settings import DispatcherSettings
from shared.runtime.process import run

if __name__ == "__main__":
    run("dispatcher", DispatcherSettings, app)
