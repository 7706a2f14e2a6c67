"""The embedded estimate: geodesics against exact ones, then road factor and speed."""

import math

import pytest
from geographiclib.geodesic import Geodesic
from hypothesis import assume, given
from hypothesis import strategies as st

from services.worker.workloads.distances import geodesic
from services.worker.workloads.distances.estimate import Estimates
from services.worker.workloads.distances.places import Leg, Place, Route
from services.worker.workloads.distances.settings import DistancesSettings

latitude = st.floats(-90, 90)
longitude = st.floats(-180, 180)
OPPOSITE_M = 17_900_000


@given(latitude, longitude, latitude, longitude)
def test_a_geodesic_is_within_a_thousandth_of_a_per_cent(lat: float, lon: float, to_lat: float, to_lon: float) -> None:
    exact = Geodesic.WGS84.Inverse(lat, lon, to_lat, to_lon)["s12"]
    found = float(geodesic.between(lat, lon, to_lat, to_lon))
    assert math.isfinite(found)
    assume(exact > 1)
    assert found == pytest.approx(exact, rel=1e-5 if exact < OPPOSITE_M else 6e-3)


@given(latitude, longitude, st.floats(0.001, 1), st.floats(-1, 1))
def test_a_short_geodesic_is_as_exact(lat: float, lon: float, north: float, east: float) -> None:
    to_lat, to_lon = min(90.0, lat + north), lon + east
    exact = Geodesic.WGS84.Inverse(lat, lon, to_lat, to_lon)["s12"]
    assert float(geodesic.between(lat, lon, to_lat, to_lon)) == pytest.approx(exact, rel=1e-5, abs=0.01)


def test_the_way_from_a_place_to_itself_is_zero() -> None:
    assert (
        geodesic.distances([Leg(Place(0.0, 0.0), Place(0.0, 0.0)), Leg(Place(90.0, 0.0), Place(90.0, 77.0))]).max()
        < 1e-6
    )


def test_an_estimate_is_geodesic_times_factor_at_mean_speed() -> None:
    estimates = Estimates(DistancesSettings(road_factor=2.0, driving_kmh=36.0, walking_kmh=3.6))
    start, end = Place(0.0, 0.0), Place(0.0, 1.0)
    assert estimates.routes([Leg(start, end), Leg(start, end, "walking")]) == [
        Route(222_639, 22_264),
        Route(222_639, 222_639),
    ]
    (least,) = estimates.fastest_s([Leg(start, end)])
    assert least == pytest.approx(111_319.49 / 130 * 3.6)


def test_places_with_equal_rounded_coordinates_are_one() -> None:
    assert Place.rounded(1.000001, -180.0, 5) == Place.rounded(0.999999, 180.0, 5)
    assert str(Place.rounded(-0.000001, -0.0, 5).lat) == "0.0"
