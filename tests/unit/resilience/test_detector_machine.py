"""The detector in any order of events, against a model that counts by hand."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from kit.resilience.detector import Detector, Step
from kit.resilience.pulse import Health, HealthCheck

GAPS = st.sampled_from([0.1, 1.0, 30.0])
BAD_AFTER = 3


class Machine(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.one = Detector("service", "endpoint", HealthCheck())
        self.now = 0.0
        self.latest = -1.0
        self.status = Health.UNKNOWN
        self.failures = 0

    def noted(self, step: Step, new: Health) -> None:
        assert step.counted
        assert (step.old, step.new) == (self.status, new)
        assert step.changed is (self.status is not new)
        self.status = new
        self.latest = self.now

    @rule(gap=GAPS, latency=st.floats(0, 5))
    def answered(self, gap: float, latency: float) -> None:
        self.now += gap
        began, ended = self.now, self.now + latency
        step = self.one.answered(began, ended)
        # As the detector has it: the difference, not the number that was added.
        if ended - began <= 1.0:
            self.failures = 0
            self.noted(step, Health.HEALTHY)
        else:
            self.noted(step, Health.UNHEALTHY if self.status is Health.UNHEALTHY else Health.DEGRADED)

    @rule(gap=GAPS)
    def limped(self, gap: float) -> None:
        self.now += gap
        self.noted(self.one.limped(self.now, self.now), Health.DEGRADED)

    @rule(gap=GAPS)
    def failed(self, gap: float) -> None:
        self.now += gap
        self.failures += 1
        # A degraded component that has failed often enough before is unhealthy with the next failure.
        bad = self.failures >= BAD_AFTER or self.status is Health.UNHEALTHY
        self.noted(self.one.failed(self.now, self.now), Health.UNHEALTHY if bad else Health.DEGRADED)

    @rule(gap=GAPS)
    def said_no(self, gap: float) -> None:
        self.now += gap
        self.failures += 1
        self.noted(self.one.said_no(self.now, self.now), Health.UNHEALTHY)

    @rule(way=st.sampled_from(["answered", "limped", "failed", "said_no"]), earlier=st.floats(0.001, 100))
    def overtaken(self, way: str, earlier: float) -> None:
        if self.latest >= 0:
            step = getattr(self.one, way)(self.latest - earlier, self.now + 1)
            assert step == Step(self.status, self.status, None, counted=False)

    @invariant()
    def what_it_says_is_what_was_counted(self) -> None:
        if hasattr(self, "one"):
            record = self.one.record()
            assert (record.status, record.failures) == (self.status, self.failures)
            assert (record.status is Health.UNKNOWN) is (record.last_check is None)
            assert self.failures == 0 or record.status is not Health.HEALTHY


TestDetector = Machine.TestCase
TestDetector.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
