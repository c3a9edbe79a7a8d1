import subprocess
import sys

PROGRAM = """
import gc
from resolver.service import garbage

kept = [[] for _ in range(1000)]
gc.collect()
garbage.spare_opened()
assert gc.get_freeze_count() > 1000, gc.get_freeze_count()
before = gc.get_freeze_count()
kept = None
garbage.spare_opened()
assert gc.get_freeze_count() < before - 900, "what is gone is not spared for ever"
assert gc.get_threshold()[0] == garbage.COLLECT_FROM

class Node: pass
gone = Node()
gone.itself = gone
gone = None
assert gc.collect() > 0, "what comes later is collected"
"""


def test_what_is_there_is_spared_and_what_comes_later_is_collected() -> None:
    # In a process of its own: the collector is one for all tests.
    subprocess.run([sys.executable, "-c", PROGRAM], check=True, timeout=60)
