"""Histograms: joined in any order they say the same, and never more than 2 % beside the truth."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from provider_router.store.histogram import ERROR, LEAST, Histogram

DURATIONS = st.lists(st.floats(min_value=0.0, max_value=1e5), max_size=60)
SHARES = st.floats(min_value=0.0, max_value=1.0)


def merged(*parts: Histogram) -> Histogram:
    whole = Histogram()
    for part in parts:
        whole.merge(part)
    return whole


@given(DURATIONS, DURATIONS)
def test_joining_two_is_the_same_from_either_side(one: list[float], other: list[float]) -> None:
    assert merged(Histogram.of(one), Histogram.of(other)) == merged(Histogram.of(other), Histogram.of(one))


@given(DURATIONS, DURATIONS, DURATIONS)
def test_joining_three_is_the_same_in_any_order_and_as_counting_all_at_once(
    one: list[float], two: list[float], three: list[float]
) -> None:
    a, b, c = map(Histogram.of, (one, two, three))
    assert merged(merged(a, b), c) == merged(a, merged(b, c)) == Histogram.of([*one, *two, *three])


@given(st.lists(st.floats(min_value=LEAST, max_value=1e5), min_size=1, max_size=60), SHARES)
def test_a_percentile_is_off_by_no_more_than_the_error(durations: list[float], share: float) -> None:
    exact = sorted(durations)[max(1, math.ceil(share * len(durations))) - 1]
    [told] = Histogram.of(durations).percentiles([share])
    assert told is not None
    assert abs(told - exact) <= exact * (ERROR + 1e-9)


@given(DURATIONS, SHARES, SHARES)
def test_several_percentiles_are_those_that_each_would_be_alone(durations: list[float], x: float, y: float) -> None:
    low, high = sorted((x, y))
    histogram = Histogram.of(durations)
    together = histogram.percentiles([low, high])
    assert together == [*histogram.percentiles([low]), *histogram.percentiles([high])]
    assert not durations or (together[0] or 0.0) <= (together[1] or 0.0)


@given(DURATIONS)
def test_a_blob_gives_the_same_histogram_back(durations: list[float]) -> None:
    histogram = Histogram.of(durations)
    assert histogram == Histogram.read([histogram.blob()])
    assert len(durations) == len(histogram)


@given(st.lists(DURATIONS, max_size=4))
def test_blobs_are_read_together_as_if_all_had_been_counted_at_once(parts: list[list[float]]) -> None:
    together = Histogram.read(Histogram.of(part).blob() for part in parts)
    assert Histogram.of(each for part in parts for each in part) == together


def test_nothing_counted_has_no_percentiles() -> None:
    assert [None, None] == Histogram.read([]).percentiles([0.5, 0.99])
