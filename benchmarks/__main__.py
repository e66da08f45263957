"""Command line: `python -m benchmarks [names...] [--profile NAME]`."""

import argparse
import sys

from benchmarks.machine import describe, one_thread, restore


def main() -> None:
    """Measure, print the table, write build/bench.json."""
    before = one_thread()  # numpy and numba read it when they are imported, so that comes after
    from benchmarks.figures import Missing
    from benchmarks.run import AS_USERS_RUN, BENCHES, Scale, measure, profile

    names = list(BENCHES)
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(names)}; all when none is given")
    parser.add_argument("--profile", choices=names, help="show where one benchmark spends its time")
    parser.add_argument("--repeats", type=int, default=Scale().repeats, help="of the one-core ones")
    parser.add_argument(
        "--rounds", type=int, default=Scale().rounds, help="of end_to_end, serve, export"
    )
    parser.add_argument("--client", choices=("kafka-python", "confluent"), default=Scale().client)
    parser.add_argument("--broker", help="host:port, container, jars or embedded")
    given = parser.parse_args()
    unknown = sorted(set(given.names) - set(names))
    if unknown:
        parser.error(f"no benchmark {', '.join(unknown)}; there are {', '.join(names)}")
    scale = Scale(given.repeats, given.rounds, client=given.client, broker=given.broker)
    if given.profile:
        print(profile(given.profile, scale))
        return

    from rich.console import Console

    from benchmarks.table import BENCH_JSON, print_table, save, to_json

    console = Console(width=120)
    machine, outcomes = describe(), {}
    for name in given.names or names:
        if name in AS_USERS_RUN:
            restore(before)
        try:
            with console.status("") as status:
                outcomes[name] = measure(name, scale, status.update)
        except Missing as reason:
            console.print(f"{name}: not measured: {reason}", highlight=False)
    if not outcomes:
        sys.exit(1)
    machine["load_average_after"] = describe()["load_average"]
    print_table(console, outcomes, machine)
    save(to_json(outcomes, machine))
    console.print(f"saved as {BENCH_JSON.relative_to(BENCH_JSON.parents[1])}")


if __name__ == "__main__":
    main()
