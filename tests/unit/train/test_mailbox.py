"""The mailbox as a plain class."""

import time

from helpers.training import make_plan

from ray_al.train.mailbox import Mailbox


def test_signs_of_life_are_counted_from_the_plan_on(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    mailbox = Mailbox()
    serial = mailbox.put_plan(make_plan([], 0))
    now[0] += 30
    state = mailbox.get_state(serial)
    assert (state.silent_s, state.lived) == (30, False)
    mailbox.beat()
    now[0] += 5
    state = mailbox.get_state(serial)
    assert (state.silent_s, state.lived) == (5, True)
    now[0] += 100
    assert mailbox.get_state(mailbox.put_plan(make_plan([], 1))).silent_s == 0


def test_the_controller_is_kept_for_the_host():
    mailbox = Mailbox()
    assert mailbox.get_controller() is None
    mailbox.set_controller("handle")
    assert mailbox.get_controller() == "handle"
