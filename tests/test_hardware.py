import os

from resolver.hardware import cores, hardware


def test_hardware_names_what_is_there() -> None:
    assert 1 <= cores() <= (os.cpu_count() or 1)
    assert hardware(None).threads == cores()
    assert hardware(3).threads == 3
    assert hardware(None).processor
