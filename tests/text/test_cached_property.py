from dataclasses import dataclass

from resolver.text.cached_property import cached_property


@dataclass(frozen=True)
class Square:
    side: int
    asked: list[int]

    @cached_property
    def area(self) -> int:
        """Side times side."""
        self.asked.append(self.side)
        return self.side**2


def test_it_is_worked_out_once_for_each_instance() -> None:
    asked: list[int] = []
    one, other = Square(2, asked), Square(3, asked)
    assert [one.area, other.area, one.area, other.area] == [4, 9, 4, 9]
    assert asked == [2, 3]


def test_it_is_no_part_of_what_makes_instances_equal() -> None:
    one = Square(2, [])
    assert one.area == 4
    assert one == Square(2, [2])


def test_of_the_class_it_is_the_property_with_its_text() -> None:
    assert isinstance(Square.area, cached_property)
    assert Square.area.__doc__ == "Side times side."
