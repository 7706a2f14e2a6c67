"""The score of real batches is read from the metrics of the dispatcher."""

from benchmarks.eta.real import counted_in, score_of

TEXT = """# HELP batchyard_forecast_ends_total Ends of batches.
batchyard_forecast_ends_total{place="inside",stage="50",workload="w"} 6.0
batchyard_forecast_ends_total{place="inside",stage="90",workload="w"} 2.0
batchyard_forecast_ends_total{place="after_p90",stage="90",workload="w"} 1.0
batchyard_forecast_ends_total{place="before_p10",stage="90",workload="x"} 1.0
batchyard_forecast_loss_total{guess="interval",workload="w"} 0.3
batchyard_forecast_loss_total{guess="linear",workload="w"} 1.0
"""


def test_ends_are_counted_over_workloads_and_stages() -> None:
    assert score_of(counted_in(TEXT)) == {"forecasts": 10, "under_p90": 0.9, "inside": 0.8, "gain": 0.7}


def test_counts_of_the_warm_up_are_subtracted() -> None:
    assert score_of(counted_in(TEXT) - counted_in(TEXT))["forecasts"] == 0
