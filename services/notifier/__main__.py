"""Entry point of the notifier: `python -m services.notifier`."""

from services.notifier.app import app
from services.notifier.settings import NotifierSettings
from shared.runtime.process import run

if __name__ == "__main__":
    run("notifier", NotifierSettings, app)
