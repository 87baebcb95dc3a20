"""`powerflock capacity`: what a plant of so many sites needs. As `cli`: imports only what it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from powerflock.domain.errors import InvalidInput

if TYPE_CHECKING:
    from powerflock.capacity import Plan, Prices


def capacity(
    sites: Annotated[str, typer.Option(help="Numbers of sites, with commas.")] = "1e6,1e7,1e8",
    report_period_s: Annotated[float, typer.Option(help="Seconds between two reports of a device.")] = 10.0,
    devices_per_site: Annotated[float, typer.Option(help="Devices of a site.")] = 3.0,
    readings_per_device: Annotated[float, typer.Option(help="Readings of a device in a report.")] = 1.0,
    entry_readings: Annotated[
        float, typer.Option(help="Readings of an entry of the log, for which gateways wait.")
    ] = 50.0,
    log_days: Annotated[float, typer.Option(help="Days that the log is kept.")] = 1.0,
    history_days: Annotated[float, typer.Option(help="Days that the history is kept.")] = 30.0,
    tick_s: Annotated[float, typer.Option(help="Seconds between two turns of the ring.")] = 1.0,
    groups: Annotated[float, typer.Option(help="Groups whose curves are summed.")] = 3000.0,
    prices: Annotated[float, typer.Option(help="Prices of the grid.")] = 41.0,
    replication: Annotated[int, typer.Option(help="Copies of each log entry.")] = 3,
    core_price: Annotated[float | None, typer.Option(min=0.0, help="$ a month for a core.", show_default=False)] = None,
    memory_price: Annotated[
        float | None, typer.Option(min=0.0, help="$ a month for a GiB of memory.", show_default=False)
    ] = None,
    disk_price: Annotated[
        float | None, typer.Option(min=0.0, help="$ a month for a GB of disk.", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Say what a plant of so many sites needs, and what is full first.

    From measured figures; docs/capacity.md names each.
    """
    import msgspec

    from powerflock import console
    from powerflock.capacity import Demand, size

    paid = _paid(core_price, memory_price, disk_price)
    plans = [
        size(
            Demand(
                sites=each,
                report_period_s=report_period_s,
                devices_per_site=devices_per_site,
                readings_per_device=readings_per_device,
                entry_readings=entry_readings,
                log_days=log_days,
                history_days=history_days,
                tick_s=tick_s,
                groups=groups,
                prices=prices,
                replication=replication,
            ),
            paid,
        )
        for each in _numbers(sites)
    ]
    if as_json:
        console.print_json(msgspec.to_builtins(plans))
        return
    for plan in plans:
        _print(plan)


def _print(plan: Plan) -> None:
    from powerflock import console

    rows = [
        {
            "component": need.component,
            "processes": need.processes,
            "cores": round(need.cores),
            "memory_gib": round(need.memory_gib, 1),
            "disk_gb": round(need.disk_gb, 1),
            "network_mb_per_s": round(need.network_mb_per_s, 1),
            "one_is_full_at_sites": "" if need.full_at_sites is None else f"{need.full_at_sites:,.0f}",
        }
        for need in plan.needs
    ]
    console.print_table(rows, title=f"{plan.sites:,.0f} sites, {plan.readings_per_s:,.0f} readings/s")
    whole: dict[str, object] = {
        "partitions": plan.partitions,
        "gateway.batch_ms": round(plan.batch_ms),
        "log_gb_per_day": round(plan.log_gb_per_day, 1),
        "history_gb_per_day": round(plan.history_gb_per_day, 1),
        "cores": round(plan.cores),
        "memory_gib": round(plan.memory_gib),
        "disk_gb": round(plan.disk_gb),
        "full_first": plan.first_full,
        "more_processes_do_not_mend": f"{plan.wall}, at {plan.wall_at_sites:,.0f} sites",
    }
    if plan.dollars_per_month is not None:
        whole["dollars_per_month"] = round(plan.dollars_per_month)
    console.print_table([{"whole": key, "value": value} for key, value in whole.items()], title="The whole plant")


def _paid(core: float | None, memory_gib: float | None, disk_gb: float | None) -> Prices | None:
    from powerflock.capacity import Prices

    if core is None and memory_gib is None and disk_gb is None:
        return None
    if core is None or memory_gib is None or disk_gb is None:
        raise InvalidInput("prices", "not all", "must be --core-price, --memory-price and --disk-price, or none")
    return Prices(core, memory_gib, disk_gb)


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError as error:
        raise InvalidInput("--sites", text, "must be numbers with commas between them, such as 1e6,1e7") from error
