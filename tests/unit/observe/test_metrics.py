"""The registry of metrics: counting, the text for Prometheus, and many processes as one."""

from __future__ import annotations

import json
from typing import Any

import pytest
from prometheus_client import REGISTRY
from prometheus_client import Counter as TheirCounter
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from kit.errors import ConfigurationError, UsageTypeError, UsageValueError
from kit.observe import metrics
from kit.observe._instruments import MAX_SERIES, OTHER, Buckets


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing but what a test registers."""
    monkeypatch.setattr(metrics, "_instruments", {})
    monkeypatch.setattr(metrics, "_sources", [])


class Example:
    def __init__(self, when: float = 1.5) -> None:
        self.when = when

    def exemplar(self) -> tuple[str, str, float]:
        return "a" * 32, "b" * 16, self.when


def samples(text: bytes) -> dict[tuple[str, tuple[tuple[str, str], ...]], Any]:
    """By name and labels, as prometheus_client's own strict parser finds them."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample
        for family in text_string_to_metric_families(text.decode())  # type: ignore[no-untyped-call]  # it has no types
        for sample in family.samples
    }


def value(text: bytes, name: str, **labels: str) -> float:
    return float(samples(text)[name, tuple(sorted(labels.items()))].value)


def test_a_counter_counts_by_its_labels() -> None:
    orders = metrics.counter("shop.orders", "Orders that were placed.", labels=("kind",))
    orders.add(kind="gift")
    orders.add(2, kind="gift")
    orders.add(kind='a "quoted"\nkind')
    text = metrics.exposition()
    assert value(text, "shop_orders_total", kind="gift") == 3
    assert value(text, "shop_orders_total", kind='a "quoted"\nkind') == 1


def test_a_histogram_has_cumulative_buckets_whose_bounds_belong_to_them() -> None:
    sizes = metrics.histogram("shop.order.size", "Bytes of an order.", unit="By", bounds=(100, 1000))
    for size in (100, 101, 1000, 5000):
        sizes.record(size)
    text = metrics.exposition()
    assert value(text, "shop_order_size_bytes_bucket", le="100.0") == 1
    assert value(text, "shop_order_size_bytes_bucket", le="1000.0") == 3
    assert value(text, "shop_order_size_bytes_bucket", le="+Inf") == 4
    assert value(text, "shop_order_size_bytes_count") == 4
    assert value(text, "shop_order_size_bytes_sum") == 6201


def test_a_gauge_is_a_function_or_a_value_and_can_be_taken_away() -> None:
    queue = [1, 2, 3]
    waiting = metrics.gauge("shop.queue", "Orders that wait.", lambda: len(queue), {"of": "gifts"})
    open_ = metrics.gauge("shop.open", "Whether it is open.")
    assert b"shop_open" not in metrics.exposition()
    open_.set(1)
    queue.append(4)
    text = metrics.exposition()
    assert value(text, "shop_queue", of="gifts") == 4
    assert value(text, "shop_open") == 1
    waiting.remove()
    assert b"shop_queue" not in metrics.exposition()


def test_a_gauge_takes_the_place_of_one_with_the_same_labels_and_outlives_its_removal() -> None:
    first = metrics.gauge("shop.queue", "Orders that wait.", lambda: 1)
    metrics.gauge("shop.queue", "Orders that wait.", lambda: 2)
    first.remove()
    assert value(metrics.exposition(), "shop_queue") == 2


def test_a_function_may_give_a_value_for_each_of_some_labels() -> None:
    metrics.gauge("shop.shelf", "Books.", lambda: [({"floor": str(floor)}, floor) for floor in (1, 2)], {"shop": "a"})
    assert value(metrics.exposition(), "shop_shelf", shop="a", floor="2") == 2


def test_a_function_that_fails_leaves_only_its_gauge_out(caplog: pytest.LogCaptureFixture) -> None:
    metrics.gauge("shop.broken", "Breaks.", lambda: 1 // 0)
    metrics.counter("shop.orders", "Orders that were placed.").add()
    text = metrics.exposition()
    assert b"shop_broken" not in text
    assert value(text, "shop_orders_total") == 1
    assert "the function of the gauge shop.broken failed" in caplog.text


def test_a_source_that_fails_leaves_only_its_own_out(caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> Any:
        yield {"name": "shop.half", "kind": "gauge", "help": "Half.", "unit": "", "series": []}
        raise RuntimeError("the dictionary changed its size")

    remove = metrics.register(broken)
    metrics.counter("shop.orders", "Orders that were placed.").add()
    assert value(metrics.exposition(), "shop_orders_total") == 1
    assert "a source of metrics failed" in caplog.text
    remove()


def test_labels_are_bounded_and_what_comes_beyond_is_other() -> None:
    orders = metrics.counter("shop.orders", "Orders that were placed.", labels=("who",))
    for number in range(MAX_SERIES + 5):
        orders.add(who=str(number))
    family = orders.family()
    assert len(family["series"]) == MAX_SERIES + 1
    assert family["series"][-1] == {"labels": {"who": OTHER}, "value": 5}


def test_an_exemplar_stands_at_the_bucket_of_its_value() -> None:
    buckets = Buckets((0.1, 1.0))
    buckets.record(0.05)
    buckets.record(0.5, Example())
    remove = metrics.register(
        lambda: [
            {
                "name": "call.duration",
                "kind": "histogram",
                "help": "Calls.",
                "unit": "s",
                "bounds": [0.1, 1.0],
                "series": [buckets.reading({"rpc.method": "a/B"})],
            }
        ]
    )
    found = samples(metrics.exposition())
    at = found["call_duration_seconds_bucket", (("le", "1.0"), ("rpc_method", "a/B"))]
    assert at.exemplar.labels == {"trace_id": "a" * 32, "span_id": "b" * 16}
    assert (at.exemplar.value, float(at.exemplar.timestamp)) == (0.5, 1.5)
    assert found["call_duration_seconds_bucket", (("le", "0.1"), ("rpc_method", "a/B"))].exemplar is None
    remove()
    remove()
    assert b"call_duration" not in metrics.exposition()


def test_what_others_put_into_the_registry_of_prometheus_client_is_shown_too() -> None:
    theirs = TheirCounter("their_calls", "Calls.", ["kind"])
    try:
        theirs.labels("a").inc(2)
        text = metrics.exposition()
    finally:
        REGISTRY.unregister(theirs)
    assert value(text, "their_calls_total", kind="a") == 2
    assert any(name == "process_resident_memory_bytes" for name, _ in samples(text))


def snapshot_of(pid: int) -> dict[str, Any]:
    """What another process counts, as it comes over a wire."""
    found = json.loads(json.dumps(metrics.snapshot()))
    found["pid"] = pid
    assert isinstance(found, dict)
    return found


def test_processes_are_added_up_and_gauges_stand_side_by_side() -> None:
    metrics.counter("shop.orders", "Orders that were placed.").add(2)
    sizes = metrics.histogram("shop.size", "Sizes.", unit="", bounds=(1,))
    sizes.record(1)
    sizes.record(2)
    metrics.gauge("shop.queue", "Orders that wait.", lambda: 5)
    text = metrics.render([snapshot_of(7), snapshot_of(8)])
    assert value(text, "shop_orders_total") == 4
    assert value(text, "shop_size_bucket", le="1.0") == 2
    assert value(text, "shop_size_count") == 4
    assert value(text, "shop_size_sum") == 6
    assert value(text, "shop_queue", pid="7") == value(text, "shop_queue", pid="8") == 5
    assert value(text, "process_resident_memory_bytes", pid="7") > 0


def test_what_a_process_that_is_gone_has_counted_is_kept_without_its_gauges() -> None:
    metrics.counter("shop.orders", "Orders that were placed.").add(2)
    metrics.gauge("shop.queue", "Orders that wait.", lambda: 5)
    gone = metrics.merge([snapshot_of(7)], gauges=False)
    text = metrics.render([gone, snapshot_of(8)])
    assert value(text, "shop_orders_total") == 4
    assert value(text, "shop_queue", pid="8") == 5
    assert ("shop_queue", (("pid", "7"),)) not in samples(text)
    again = metrics.merge([gone, metrics.merge([snapshot_of(9)], gauges=False)])
    assert value(metrics.render([again]), "shop_orders_total") == 4


def test_the_newest_example_of_all_processes_is_shown() -> None:
    def snapshot(when: float) -> dict[str, Any]:
        buckets = Buckets((1.0,))
        buckets.record(0.5, Example(when))
        family = {"name": "calls", "kind": "histogram", "help": "Calls.", "unit": "s", "bounds": [1.0]}
        return {"pid": 1, "families": [{**family, "series": [buckets.reading({})]}]}

    for order in ([3.0, 2.0], [2.0, 3.0]):
        found = samples(metrics.render([snapshot(when) for when in order]))
        assert float(found["calls_seconds_bucket", (("le", "1.0"),)].exemplar.timestamp) == 3.0


def test_histograms_with_other_bounds_are_left_out_of_the_sum() -> None:
    def snapshot(bound: float) -> dict[str, Any]:
        family = {"name": "calls", "kind": "histogram", "help": "Calls.", "unit": "", "bounds": [bound]}
        return {"pid": 1, "families": [{**family, "series": [Buckets((bound,)).reading({})]}]}

    merged = metrics.merge([snapshot(1.0), snapshot(2.0)])
    assert [family["bounds"] for family in merged["families"]] == [[1.0]]


def test_asked_for_twice_it_is_the_same_metric() -> None:
    assert metrics.counter("a.b", "x") is metrics.counter("a.b", "x")


@pytest.fixture
def taken() -> None:
    metrics.counter("shop.taken", "Taken.", labels=("a",))
    return


@pytest.mark.usefixtures("taken")
@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: metrics.counter("Shop", "x"), "small letters"),
        (lambda: metrics.counter("shop-orders", "x"), "small letters"),
        (lambda: metrics.counter("shop.orders_total", "x"), "leave out _total"),
        (lambda: metrics.counter("shop.orders", ""), "needs a help text"),
        (lambda: metrics.counter("shop.orders", "x", labels=("le",)), "cannot be the name of a label"),
        (lambda: metrics.histogram("shop.taken", "x"), "as a Counter"),
        (lambda: metrics.counter("shop.taken", "x", labels=("b",)), "other labels"),
        (lambda: metrics.histogram("shop.size", "x", bounds=(2, 1)), "must grow"),
        (lambda: metrics.histogram("shop.size", "x", bounds=()), "must grow"),
        (lambda: metrics.histogram("shop.size", "x", bounds=(1, float("inf"))), "finite"),
        (lambda: metrics.gauge("shop.queue", "x", lambda: 1, {"Who": "x"}), "cannot be the name of a label"),
    ],
)
def test_a_metric_that_cannot_be_is_refused(make: Any, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        make()


def test_what_cannot_be_counted_is_refused() -> None:
    orders = metrics.counter("shop.orders", "Orders that were placed.", labels=("kind",))
    with pytest.raises(UsageTypeError, match="has the labels kind, not none"):
        orders.add()
    for amount in (-1, float("nan"), float("inf")):
        with pytest.raises(UsageValueError):
            orders.add(amount, kind="x")
    with pytest.raises(UsageValueError):
        metrics.histogram("shop.size", "x").record(float("nan"))
