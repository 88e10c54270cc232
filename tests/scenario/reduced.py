"""Shipped scenarios with fewer wards and devices, for tests that would take long with all of them."""

from sim.loading import load


def few_wards(name: str, at_most: int = 20) -> tuple[str, ...]:
    """Return overrides that leave at most so many wards of each kind, and of each counted class 50 devices a ward."""
    scenario, _ = load(name)
    return (
        *(f'wards.{kind}.count={at_most}' for kind, ward in scenario.wards.items() if ward.count > at_most),
        *(f'devices.{kind}.count={50 * at_most}' for kind, device in scenario.devices.items()
          if device.count is not None and device.count > 50 * at_most),
    )
