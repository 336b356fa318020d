"""Series of the shipper: those of the use cases in its spool, whatever it has shipped."""

from __future__ import annotations

from monitoring.log_shipping.exporter import ShipperCollector
from monitoring.log_shipping.shipper import Shipper


def test_use_cases_that_come_and_go_leave_no_series(config) -> None:
    shipper = Shipper(config, [])
    collector = ShipperCollector(config, shipper)

    def series() -> set[tuple[str, str]]:
        samples = [sample for family in collector.collect() for sample in family.samples]
        return {(sample.name, sample.labels.get("usecase", "")) for sample in samples}

    (config.spool / "loans").mkdir(parents=True)
    before = series()
    for number in range(50):
        name = f"passing_{number}"
        (config.spool / name).mkdir()
        (config.spool / name / "no segment").touch()
        for counts in (shipper.totals.events, shipper.totals.segments, shipper.totals.failures):
            counts[name] += 1
        assert {usecase for _, usecase in series()} == {"", "loans", name}
        (config.spool / name / "no segment").unlink()
        (config.spool / name).rmdir()
    (config.spool / ".ship.lock").touch()
    assert series() == before
