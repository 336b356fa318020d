"""The page of what AWS costs: every sum is right, made of the page's prices, and of the sizes that Terraform has."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "explanation" / "aws-costs.md").read_text()
TERRAFORM = ROOT / "infra" / "terraform"
HEADINGS = ["`shared`", "`staging`", "`production`", "100 predictions per second"]
HOURS = 730


def table(heading: str) -> list[list[str]]:
    """Return the cells of the rows of the first table below a heading."""
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    [first, *_] = re.findall(r"(?:^\|.*\n)+", section, re.MULTILINE)
    return [[cell.strip() for cell in line.strip("|\n").split("|")] for line in first.splitlines()[2:]]


def items(heading: str) -> dict[str, list[float]]:
    """Map what is paid for to the factors of its sum, the last of which is a price."""
    return {name: [float(factor) for factor in text.split(" × ")] for name, text, _ in table(heading)[:-1]}


def amount(text: str) -> float:
    return float(text.replace(",", ""))


def prices() -> dict[str, float]:
    return {name: amount(usd) for name, usd, _ in table("Prices")}


def variables(environment: str) -> str:
    return (TERRAFORM / "environments" / environment / "terraform.tfvars").read_text()


def listed(environment: str, name: str) -> list[str]:
    [value] = re.findall(rf"^{name} += (\[.*\])$", variables(environment), re.MULTILINE)
    return json.loads(value)


def desired(environment: str) -> tuple[str, int]:
    """Return the type of the nodes, and how many there are at first."""
    [(kind, number)] = re.findall(
        r'^cpu_nodes += \{ instance_types = \["([^"]+)"\], .*desired = (\d+) \}$', variables(environment), re.MULTILINE
    )
    return kind, int(number)


def keys(module: str) -> int:
    """Count the keys of a module and of those that it calls."""
    text = (TERRAFORM / "modules" / module / "main.tf").read_text()
    own = len(re.findall(r'^resource "aws_kms_key"', text, re.MULTILINE))
    return own + sum(keys(inner) for inner in re.findall(r'source\s+= "\.\./(\w+)"', text))


@pytest.mark.parametrize("heading", HEADINGS)
def test_every_sum_is_right(heading: str) -> None:
    for name, factors, usd in table(heading)[:-1]:
        product = math.prod(float(factor) for factor in factors.split(" × "))
        assert amount(usd) == pytest.approx(product, abs=0.00501), name
    *rows, [total, _, usd] = table(heading)
    assert total == "**sum**"
    assert amount(usd) == pytest.approx(sum(amount(row[-1]) for row in rows), abs=0.001)


@pytest.mark.parametrize("heading", HEADINGS)
def test_every_price_in_a_sum_is_one_of_the_list(heading: str) -> None:
    for name, factors in items(heading).items():
        assert factors[-1] in prices().values(), name


def test_the_summary_has_the_sums_of_the_tables() -> None:
    [(summary)] = [re.findall(r"^\| (\S.*) \| ([\d,.]+) \| ([\d,.]+) \|$", PAGE.partition("\n## ")[0], re.MULTILINE)]
    idle = {heading: amount(table(heading)[-1][-1]) for heading in HEADINGS[:3]}
    extra = amount(table(HEADINGS[3])[-1][-1])
    busy = {heading: usd + (extra if heading == "`production`" else 0) for heading, usd in idle.items()}
    expected = {
        **{name: (idle[name], busy[name]) for name in idle},
        "all three": (sum(idle.values()), sum(busy.values())),
    }
    found = {name: (amount(first), amount(second)) for name, first, second in summary}
    assert found.keys() == expected.keys()
    for name, both in expected.items():
        assert found[name] == pytest.approx(both, abs=0.001), name


@pytest.mark.parametrize("environment", ["staging", "production"])
def test_nodes_gateways_and_endpoints_are_those_of_terraform(environment: str) -> None:
    paid, (kind, number) = items(f"`{environment}`"), desired(environment)
    zones, [nat] = (
        listed(environment, "availability_zones"),
        re.findall(r'^nat += "(\w+)"', variables(environment), re.M),
    )
    gateways = {"one": 1, "each": len(zones)}[nat]
    assert paid[f"nodes, `{kind}`"] == [number, HOURS, prices()[f"EC2 `{kind}`"]]
    [disk] = re.findall(
        r"desired += var\.cpu_nodes\.desired\n\s+disk_gib += (\d+)", (TERRAFORM / "modules/cluster/main.tf").read_text()
    )
    assert paid["their disks, nodes × GB"][:2] == [number, float(disk)]
    assert paid["NAT gateways"][:2] == paid["their addresses"][:2] == [gateways, HOURS]
    endpoints = listed(environment, "interface_endpoints")
    paid_endpoints = paid.get("interface endpoints, services × zones", [0, len(zones)])
    assert paid_endpoints[:2] == [len(endpoints), len(zones)]
    grafana = re.findall(r"^grafana += (\w+)", variables(environment), re.MULTILINE)
    assert ("Managed Grafana, editors" in paid) is (grafana == ["true"])


def test_the_database_is_that_of_terraform() -> None:
    [kind] = re.findall(r'^database_instance_class += "(.*)"', variables("shared"), re.MULTILINE)
    assert re.search(r"^database_multi_az += true$", variables("shared"), re.MULTILINE)
    paid, listed_prices = items("`shared`"), prices()
    assert (
        paid[f"database, `{kind}` with a standby in another zone"][-1]
        == listed_prices[f"RDS PostgreSQL `{kind}`, two zones"]
    )
    storage = (TERRAFORM / "modules" / "database" / "variables.tf").read_text()
    [size] = re.findall(r'variable "storage_gb" \{.*?default\s+= (\d+)', storage, re.DOTALL)
    assert paid["its storage, GB"][0] == float(size)


@pytest.mark.parametrize(
    ("environment", "root"), [("shared", "shared"), ("staging", "workload"), ("production", "workload")]
)
def test_keys_are_counted(environment: str, root: str) -> None:
    text = (TERRAFORM / "environments" / root / "main.tf").read_text()
    modules = re.findall(r'source\s+= "\.\./\.\./modules/(\w+)"', text)
    assert items(f"`{environment}`")["keys"][0] == sum(map(keys, modules))


def test_the_prices_that_are_named_in_the_text_are_those_of_the_list() -> None:
    for kind in ("g6.xlarge", "m7i.large"):
        assert re.search(rf"`{re.escape(kind)}`\s+costs\s+{prices()[f'EC2 `{kind}`']}\s+an\s+hour", PAGE), kind
    for environment in ("staging", "production"):
        assert '"g6.xlarge"' in variables(environment)


def test_the_log_at_100_predictions_per_second_is_that_of_its_figures() -> None:
    figures = (ROOT / "docs" / "explanation" / "prediction-log.md").read_text()
    assert re.search(r"^\| 1 \| 8,640,000 \| \d+ \| 1\.2 \|", figures, re.MULTILINE)
    predictions = 100 * HOURS * 3600
    paid = items("100 predictions per second")
    assert paid["prediction log of the month, GB"][0] == pytest.approx(1.2 * predictions / 8_640_000, abs=0.05)
    assert paid["responses to the internet, GB"][0] == pytest.approx(predictions * 1e3 / 1e9)
    assert paid["objects written, thousands: 3 pods, 4 a minute"][0] == pytest.approx(3 * 4 * 60 * HOURS / 1000)
