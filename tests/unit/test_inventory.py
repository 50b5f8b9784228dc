"""What lives in the process is listed, and not kept alive."""

from __future__ import annotations

import os

from kit.inventory import Inventory


class Thing:
    pass


def test_things_are_listed_in_order_for_as_long_as_they_live() -> None:
    inventory: Inventory[Thing] = Inventory()
    things = [Thing() for _ in range(5)]
    for thing in things:
        inventory.add(thing)
    assert inventory.all() == things
    del things[1:4], thing
    assert inventory.all() == things


def test_a_forked_child_begins_with_nothing() -> None:
    inventory: Inventory[Thing] = Inventory()
    thing = Thing()
    inventory.add(thing)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(write, str(len(inventory.all())).encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(read, 10) == b"0"
    assert inventory.all() == [thing]
    os.close(read)
    os.close(write)
