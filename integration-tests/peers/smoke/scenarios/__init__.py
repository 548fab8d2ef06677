"""The scenarios, a file each; `ALL` is the smoke set."""

from dataclasses import dataclass
from functools import partial
from typing import Callable

from . import cloud_to_kcl, cloud_to_sdks, kpl_to_cloud, kpl_to_workers, lease_table, mixed_fleet, put_to_deaggregators, put_to_kcl, which_stream


@dataclass(frozen=True)
class Scenario:
    """`waits`: most of its time the KCL waits for its own timers, so it runs together with the others of this kind.

    The rest runs before them, one by one: where kinesis-local gets too little CPU, requests time out and copies are made.
    """

    name: str
    title: str
    body: Callable
    waits: bool


ALL = [
    Scenario("put-to-deaggregators", put_to_deaggregators.TITLE, put_to_deaggregators.body, waits=False),
    Scenario("put-to-kcl", put_to_kcl.TITLE, put_to_kcl.body, waits=True),
    Scenario("kpl-to-cloud", kpl_to_cloud.TITLE, kpl_to_cloud.body, waits=False),
    Scenario("cloud-to-sdks", cloud_to_sdks.TITLE, cloud_to_sdks.body, waits=False),
    Scenario("kpl-to-workers", kpl_to_workers.TITLE, kpl_to_workers.body, waits=False),
    Scenario("which-stream", which_stream.TITLE, which_stream.body, waits=False),
    Scenario("cloud-to-polling", cloud_to_kcl.TITLE + ", polling", partial(cloud_to_kcl.body, mode="polling"), waits=True),
    Scenario("cloud-to-fan-out", cloud_to_kcl.TITLE + ", fan-out", partial(cloud_to_kcl.body, mode="fan-out"), waits=True),
    Scenario("java-leads", mixed_fleet.TITLE + ", Java leads", partial(mixed_fleet.body, leader="java"), waits=True),
    Scenario("rust-leads", mixed_fleet.TITLE + ", Rust leads", partial(mixed_fleet.body, leader="rust"), waits=True),
    Scenario("lease-table", lease_table.TITLE, lease_table.body, waits=True),
]
