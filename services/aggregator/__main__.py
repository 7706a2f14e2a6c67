"""Entry point of the aggregator: `python -m services.aggregator`."""

from services.aggregator.app import NAME, app
from services.aggregator.settings import AggregatorSettings
from shared.runtime.process import run


def main() -> None:
    """Run until SIGTERM."""
    run(NAME, AggregatorSettings, app)


if __name__ == "__main__":
    main()
