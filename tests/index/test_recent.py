from concurrent.futures import ThreadPoolExecutor

from resolver.index.recent import Recent


def test_what_is_kept_is_found() -> None:
    recent: Recent[str, int] = Recent(3)
    recent.keep({"a": 1, "b": 2})
    assert recent.get(["a", "c", "b"]) == {"a": 1, "b": 2}


def test_those_used_longest_ago_go() -> None:
    recent: Recent[str, int] = Recent(3)
    recent.keep({"a": 1, "b": 2, "c": 3})
    recent.get(["a"])
    recent.keep({"d": 4})
    assert recent.get("abcd") == {"a": 1, "c": 3, "d": 4}
    assert len(recent) == 3


def test_more_than_fits() -> None:
    recent: Recent[int, int] = Recent(3)
    recent.keep({i: i for i in range(10)})
    assert recent.get(range(10)) == {7: 7, 8: 8, 9: 9}


def test_threads_share_it() -> None:
    recent: Recent[int, int] = Recent(50)

    def use(start: int) -> bool:
        for i in range(start, start + 200):
            recent.keep({i: i})
            if any(key != value for key, value in recent.get(range(i, i + 5)).items()):
                return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(use, [0, 100, 150, 199]))
    assert len(recent) == 50
