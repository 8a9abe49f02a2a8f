"""The checks of `ncprop279 serve --tor-control`, each with the tor and the program
that it needs."""

import json
import os
from contextlib import ExitStack, contextmanager

from e2e import checks, names
from e2e import tor_attack_checks as attacks
from e2e import tor_door_checks as answers
from e2e import tor_isolation_checks as isolation
from e2e import tor_lifecycle_checks as lifecycle
from e2e import tor_plugin_checks as plugins
from e2e.controlled_tor import ControlledTor, in_a_namespace
from e2e.electrum_nmc import PASSWORD, USER, ElectrumNmc
from e2e.tor_door import TorDoor
from e2e.watch import Watch


def make_all_checks(table, tor_path, plugin, stemns, folder):
    with ExitStack() as started:
        watch = Watch(os.getpid())
        started.callback(watch.stop)
        tor, second = (
            ControlledTor(tor_path, folder / name, os.getpid()) for name in ("tor", "second")
        )
        started.callback(tor.close)
        tor.start()
        print(f"tor {tor.version} and {plugin}")
        file = with_names_file(table, tor, plugin, folder)
        with_node(table, tor, plugin, folder)
        given = (tor, plugin, file)
        with open_door(*given) as door:
            table.check(lifecycle.a_restart_of_tor_is_survived, door)
        table.check(lifecycle.it_waits_for_a_tor_that_is_not_there, *given)
        table.check(lifecycle.a_guardian_that_was_killed_is_replaced, *given)
        table.check(lifecycle.a_tor_that_is_busy_hears_of_the_end, *given)
        table.check(lifecycle.each_way_to_log_in_works, *given)
        started.callback(second.close)
        second.start()
        table.check(lifecycle.two_tors_are_served_at_once, second, *given)
        second.stop()
        third = in_a_namespace(tor_path, folder / "third", os.getpid())
        if third:
            started.callback(third.close)
            third.start()
        table.check(lifecycle.debians_own_address_is_found, third, plugin, file)
        table.check(lifecycle.another_controller_is_reported_once, *given)
        table.check(plugins.this_program_as_a_plugin_for_bit, *given, folder)
        table.check(plugins.other_suffixes_are_safe_too, *given, folder)
        if stemns:
            table.check(lifecycle.stemns_beside_it_hurts_nobody, *given, folder, stemns)
        table.check(checks.nothing_left_this_machine, tor, watch)


def with_names_file(table, tor, plugin, folder):
    """Returns the options that have names come from the file."""
    path = folder / "names.json"
    all_names = names.ORDINARY | names.HALF_HOSTILE | names.many() | answers.hostile_values()
    path.write_text(json.dumps(names.in_chain(all_names)))
    source = ["--names-file", path]
    table.check(lifecycle.waiting_streams_are_taken_over, tor, plugin, source)
    table.check(answers.virtual_addresses_cannot_be_forged, tor, plugin, source)
    with open_door(tor, plugin, source) as door:
        for check in (
            answers.names_become_their_targets,
            answers.other_streams_are_attached,
            answers.many_names_at_once,
            answers.failures_reach_the_client_at_once,
            answers.dns_and_resolve_give_addresses,
            answers.what_a_listener_forbids_is_refused,
            answers.hostile_values_hurt_nobody,
            attacks.names_with_strange_bytes_are_refused,
            answers.virtual_addresses_lead_to_names,
            lifecycle.reload_does_not_end_it,
        ):
            table.check(check, door)
    table.check(answers.no_name_in_bit_is_attached, tor)
    return source


def with_node(table, tor, plugin, folder):
    node = ElectrumNmc(names.in_chain(names.ORDINARY | names.many()), 0.0)
    config = folder / "ncprop279.toml"
    config.write_text(f'rpc-user = "{USER}"\nrpc-password = "{PASSWORD}"\n')
    config.chmod(0o600)
    source = ["--config", config, "--rpc-address", node.address, "--cache-entries", "1"]
    phases = [
        (
            [
                attacks.ids_reach_the_node,
                attacks.forged_events_lead_nobody_elsewhere,
                attacks.forged_events_of_coming_streams_neither,
                attacks.forged_replies_delay_nobody,
                attacks.clients_that_go_early_hurt_nobody,
            ],
            [],
        ),
        (
            [lifecycle.a_silent_node_delays_nobody_else, lifecycle.sigterm_gives_streams_back],
            ["--timeout", "1"],
        ),
        ([lifecycle.sigkill_is_undone_within_a_second], []),
    ]
    try:
        with_isolation(table, tor, plugin, source, node)
        for these, more in phases:
            with open_door(tor, plugin, [*source, *more]) as door:
                for check in these:
                    table.check(check, door, node)
            table.check(answers.no_name_in_bit_is_attached, tor)
    finally:
        node.stop()


def with_isolation(table, tor, plugin, source, node):
    without_cache = ["--cache-ttl", "0", "--cache-negative-ttl", "0"]
    with open_door(tor, plugin, [*source, *without_cache]) as door:
        door = isolation.Isolation(door, node)
        for check in (
            isolation.listeners_users_and_clients_have_their_own,
            isolation.flags_of_listeners_count,
            isolation.newnym_begins_anew,
            isolation.a_group_with_different_flags_follows_tor,
            isolation.random_streams_follow_tors_rule,
        ):
            table.check(check, door)


@contextmanager
def open_door(tor, plugin, source):
    door = TorDoor(tor, plugin, source)
    try:
        yield door
    finally:
        door.stop()
